"""What a training is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, cast

from archlab.errors import InputError
from archlab.records.display import Displayed
from archlab.records.settings import setting, settings, settled
from archlab.records.target import Target

Value = bool | int | float | str

SMALL_BATCH, USUAL_BATCH = 16, 256
"""Images per step where nothing else is asked for: 1,438 digits in batches of 256 are 6 steps per epoch, in which
little can be learnt."""
PRECISE_IMAGES = 4_096
"""That precise statistics are taken over; Wu and Johnson (2021, Rethinking "Batch" in BatchNorm, section 3) find 1,000
to 10,000 enough. Test accuracies of LeNet differ from those with 12,800 by less than 0.2 points."""

SurgicalNorm = Literal["batch", "scratch", "none", "group", "layer", "instance", "frozen"]
"""What can stand in the place of BatchNorm in any network."""
NORMS = {"on": "batch", "off": "none"} | {name: name for name in ("scratch", "group", "layer", "instance", "frozen")}
"""What `bn` stands for, as values of a network's option `norm`."""
OPTIMIZERS = ("adam", "adamw", "sgd", "nesterov")
WITH_MOMENTUM = ("sgd", "nesterov")
"""The optimisers that have a momentum of their own."""
SCHEDULES = ("constant", "cosine", "step")
NORMALISATIONS = ("none", "data", "imagenet")
"""What images are normalised by before a network is given them."""
PRECISIONS = ("fp32", "tf32", "bf16")
KERNELS = ("fast", "plain")
PROBES = ("smoothness", "signals", "shift", "rank", "similarity", "correlation")


@dataclass(frozen=True, slots=True)
class TrainingConfig(Displayed):
    """Everything that decides a run's result, apart from the machine. The defaults are the course's."""

    SCHEMA: ClassVar[str] = "archlab.config/1"

    network: str = "lenet"
    """Source of the network."""
    options: dict[str, Value] = field(default_factory=dict)
    """Options of the network's factory: `{"norm": "none"}`."""
    variant: str = ""
    """What sets this run apart from those it is compared with: `norm=none`."""
    dataset: str = setting(
        "digits",
        "digits, fashion-mnist, mnist, cifar10, cifar100, or a folder with a folder of images per class.",
        metavar="NAME",
    )
    seed: int = setting(0, "First weights and order of the data.", least=0, decides=False)
    epochs: int = setting(5, "Passes over the data.", least=1, varies=True, phrase="{:,d} epochs")
    batch_size: int = setting(
        cast(int, None),  # until `__post_init__`, which knows the data set
        f"Images per step. Default: the course's, {SMALL_BATCH} on digits (as on a processor), else {USUAL_BATCH}.",
        least=1,
        varies=True,
        phrase="batch {:,d}",
    )
    learning_rate: float = setting(
        0.001,
        "Learning rate; the largest, where warm-up or a schedule changes it.",
        name="lr",
        metavar="X",
        above=0,
        varies=True,
        phrase="learning rate {:g}",
    )
    size: int | None = setting(
        None, "Height and width of the images. Default: what the network was made for.", least=1, varies=True
    )
    train_samples: int | None = setting(
        None,
        "Training images, the same ones for every seed. Default: all.",
        least=1,
        varies=True,
        phrase="{:,d} training images",
    )
    test_samples: int | None = setting(None, "Test images. Default: all.", least=1, phrase="{:,d} test images")
    record_every: int = setting(1, "Steps between records of BatchNorm; 0 for none.", least=0, decides=False)
    precise_images: int = setting(
        PRECISE_IMAGES, "Training images for precise statistics (all, if there are fewer).", least=1, varies=True
    )
    precise_every: int = setting(
        1,
        "Epochs between two tests with precise statistics, of networks with BatchNorm; 0 for after the last epoch "
        "alone. The tests between have running statistics only.",
        metavar="EPOCHS",
        least=0,
        decides=False,
        since="2026-11",
    )
    momentum: float | None = setting(
        None,
        "Weight of the newest batch in the running averages of BatchNorm (torch's momentum). Default: each layer's "
        "own, usually 0.1. The optimiser's momentum is --sgd-momentum.",
        metavar="X",
        holds=lambda weight: 0 < weight <= 1,
        expected="a number above 0 and at most 1",
        varies=True,
        since="2026-11",
        phrase="momentum {:g}",
    )
    probe_every: int = setting(
        0,
        "Steps between looks with the probes that --probes names; they change no weight. 0 for none.",
        least=0,
        decides=False,
        since="2026-11",
    )
    probes: str | None = setting(
        None,
        "What --probe-every looks at, divided by commas, or all: smoothness (of the loss along the gradient, Santurkar "
        "et al. 2018; about 9 steps), signals (activations, gradients, updates and branches of each layer; about 2), "
        "shift (internal covariate shift, Santurkar et al. 2018; 2 to 10), rank (dimensions that features use; 1), "
        "similarity (of layers and variants, CKA, Kornblith et al. 2019; 1), correlation (of gradients at nearby "
        "images, Balduzzi et al. 2017; 2). Default: smoothness.",
        metavar="NAMES",
        holds=lambda text: set(_divided(text)) <= {*PROBES, "all"},
        expected="all, or some of smoothness, signals, shift, rank, similarity, correlation, divided by commas",
        decides=False,
        since="2026-11",
    )
    landscape: int = setting(
        0,
        "Draw the loss around the trained weights on N x N points, N odd, in two random directions scaled to the "
        "filters (Li et al. 2018). 21 takes 441 forward passes; 0 for none.",
        holds=lambda points: points == 0 or (points >= 3 and points % 2 == 1),
        expected="0 for none, or an odd number from 3 on: the trained weights are the point in the middle",
        decides=False,
        since="2026-11",
    )

    optimizer: str = setting(
        "adam",
        "adam (Kingma and Ba 2015), adamw (decoupled weight decay, Loshchilov and Hutter 2019), sgd, or nesterov: SGD "
        "with Nesterov's momentum.",
        metavar="NAME",
        holds=OPTIMIZERS.__contains__,
        expected=f"one of {', '.join(OPTIMIZERS)}",
        varies=True,
        since="2026-11",
        phrase="{}",
    )
    sgd_momentum: float = setting(
        0.0,
        "Momentum of sgd and nesterov; He et al. 2016 take 0.9. Not BatchNorm's, which is --momentum. In a comparison "
        "of optimisers it is that of those that have it.",
        metavar="X",
        holds=lambda momentum: 0 <= momentum < 1,
        expected="a number from 0 to below 1",
        varies=True,
        since="2026-11",
        phrase="SGD momentum {:g}",
    )
    weight_decay: float = setting(
        0.0,
        "Weight decay of every parameter, as torch's optimisers have it: added to the gradient (L2), with adamw taken "
        "off the weights times the learning rate.",
        metavar="X",
        least=0,
        varies=True,
        since="2026-11",
        phrase="weight decay {:g}",
    )
    schedule: str = setting(
        "constant",
        "How the learning rate falls, step by step: constant, cosine (to 0, Loshchilov and Hutter 2017), or step "
        "(divided by 10 after 1/2 and again after 3/4 of all steps, He et al. 2016).",
        metavar="NAME",
        holds=SCHEDULES.__contains__,
        expected=f"one of {', '.join(SCHEDULES)}",
        varies=True,
        since="2026-11",
        phrase="{} schedule",
    )
    warmup: float = setting(
        0.0,
        "Epochs, or a part of one, in which the learning rate rises to --lr in equal steps (Goyal et al. 2017); cosine "
        "begins after them.",
        metavar="EPOCHS",
        least=0,
        varies=True,
        since="2026-11",
        phrase="warm-up over {:g} epochs",
    )
    label_smoothing: float = setting(
        0.0,
        "Share of each label that is spread evenly over all classes (Szegedy et al. 2016), in the training loss alone: "
        "test losses, precise statistics and probes are without.",
        metavar="X",
        holds=lambda share: 0 <= share < 1,
        expected="a number from 0 to below 1",
        varies=True,
        since="2026-11",
        phrase="label smoothing {:g}",
    )
    flip: float = setting(
        0.0,
        "Probability with which a training image is mirrored left to right, anew in each epoch; the papers' is 0.5. "
        "Tests, precise statistics and probes see images as they are.",
        metavar="P",
        holds=lambda probability: 0 <= probability <= 1,
        expected="a probability from 0 to 1",
        varies=True,
        since="2026-11",
        phrase="flips {:g}",
    )
    crop: int = setting(
        0,
        "Pixels of black around a training image, of which a random part of the image's own size is taken, anew in "
        "each epoch: it is shifted by up to so many pixels. The papers' is 4, on CIFAR.",
        metavar="PIXELS",
        least=0,
        varies=True,
        since="2026-11",
        phrase="shifted crops {:,d}",
    )

    normalise: str = setting(
        "none",
        "What is taken off the images and what they are divided by, per channel: none (they stay in 0 to 1), data "
        "(mean and deviation of the training images), or imagenet (ImageNet's, as torchvision's weights have it). "
        "Holds for training, tests, precise statistics and probes.",
        metavar="NAME",
        holds=NORMALISATIONS.__contains__,
        expected=f"one of {', '.join(NORMALISATIONS)}",
        varies=True,
        since="2026-11",
        phrase="images normalised ({})",
    )

    precision: str = setting(
        "fp32",
        "fp32, tf32 (convolutions and matrix products round what they take to 10 bits; on NVIDIA's accelerators), "
        "or bf16: convolutions and matrix products in bfloat16, everything else in float32 (torch.autocast). "
        "Faster on accelerators and on processors that have instructions for it, slower on others.",
        metavar="NAME",
        holds=PRECISIONS.__contains__,
        expected=f"one of {', '.join(PRECISIONS)}",
        varies=True,
        since="2026-11",
        phrase="{}",
    )

    kernels: str = setting(
        "fast",
        "fast: on a processor, channels_last and faster forms of pooling and convolution, chosen by rule from the "
        "layers; they round otherwise, and the run's record names them. plain: what the network's own modules compute, "
        "bit for bit as in a plain loop.",
        metavar="NAME",
        holds=KERNELS.__contains__,
        expected=f"one of {', '.join(KERNELS)}",
        varies=True,
        since="2026-11",
        phrase="{} kernels",
    )

    until: str | None = setting(
        None,
        "End the training after the first epoch that reaches it: accuracy=0.9 (of the test images, precise statistics) "
        "or train_accuracy=0.9. A run that doesn't is trained for all --epochs. Comparisons then show steps and time "
        "until it.",
        metavar="METRIC=X",
        holds=lambda text: Target.read(text) is not None,
        expected="accuracy=X or train_accuracy=X, X above 0 and at most 1",
        since="2026-11",
        phrase="until {}",
    )

    @property
    def probed(self) -> tuple[str, ...]:
        """Which of `PROBES` look; none where `probe_every` is 0."""
        if not self.probe_every:
            return ()
        chosen = _divided(self.probes or "smoothness")
        return PROBES if "all" in chosen else tuple(name for name in PROBES if name in chosen)

    @property
    def target(self) -> Target | None:
        """What `until` names."""
        return Target.read(self.until) if self.until else None

    def __post_init__(self) -> None:
        """Settles the size of batches by the data set, where none is asked for."""
        if self.batch_size is None:
            object.__setattr__(self, "batch_size", SMALL_BATCH if self.dataset == "digits" else USUAL_BATCH)

    @property
    def label(self) -> str:
        """What a run is called beside others: its variant, else its network."""
        return self.variant or self.network

    @property
    def deciding(self) -> dict[str, Value]:
        """What was chosen of all that decides the training, the network's options one by one; no seed, no None."""
        known = settings(TrainingConfig)
        names = [
            item.name
            for item in fields(self)
            if item.name not in ("variant", "options") and (item.name not in known or known[item.name].decides)
        ]
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None} | self.options


def _divided(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def configured(network: object, chosen: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a network's source, or a whole one, with some fields replaced; every setting is checked.

    Whether the settings go together is `consistent`'s to say: a comparison asks it of each variant.

    Raises:
        InputError: the network is neither, or a setting can't be meant.
    """
    config: TrainingConfig = (
        replace(network, **chosen)
        if isinstance(network, TrainingConfig)
        else TrainingConfig(**{"network": network, **chosen})
    )
    if not isinstance(config.network, str):
        raise InputError(
            f"network is of type {type(config.network).__name__}, expected a source: a built-in name, FILE.py:FACTORY, "
            "torchvision:NAME, ... A configuration names its network; a module, class or function is given to "
            "archlab.train or archlab.compare itself"
        )
    if not isinstance(config.options, Mapping):
        raise InputError(f"options is {config.options!r}, expected names and values: {{'norm': 'none'}}")
    return settled(config)


def consistent(config: TrainingConfig) -> TrainingConfig:
    """The configuration, whose settings go together.

    Raises:
        InputError: two of them contradict each other.

    >>> consistent(TrainingConfig(optimizer="sgd", sgd_momentum=0.9)).sgd_momentum
    0.9
    """
    if config.sgd_momentum and config.optimizer not in WITH_MOMENTUM:
        raise InputError(
            f"sgd_momentum is {config.sgd_momentum:g}, which {config.optimizer} has not: choose the optimizer sgd or "
            "nesterov, or leave the momentum out"
        )
    if config.optimizer == "nesterov" and not config.sgd_momentum:
        raise InputError("the optimizer is nesterov and sgd_momentum is 0, expected a momentum: 0.9, for instance")
    if config.probes and not config.probe_every:
        raise InputError(
            f"probes is {config.probes!r} and probe_every is 0, so that nothing would look: say how many steps lie "
            "between two looks (--probe-every 50), or leave the probes out"
        )
    if config.until and config.precise_every != 1:
        raise InputError(
            f"until is {config.until!r} and precise_every {config.precise_every}: nobody knows beforehand which epoch "
            "is the last. Leave precise_every out, with which precise statistics are taken after every epoch"
        )
    if config.warmup and config.warmup >= config.epochs:
        raise InputError(
            f"warmup is {config.warmup:g} with epochs={config.epochs}, expected fewer than the training has: the "
            "learning rate would never be reached. Train longer (--epochs), or take a part of an epoch (--warmup 0.5)"
        )
    return config
