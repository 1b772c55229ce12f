"""What a training is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from archlab.errors import InputError
from archlab.records.document import Document
from archlab.records.settings import setting, settings, settled

Value = bool | int | float | str

NORMS = {"on": "batch", "off": "none", "scratch": "scratch"}
"""What `bn` stands for, as values of a network's option `norm`."""


@dataclass(frozen=True, slots=True)
class TrainingConfig(Document):
    """Everything that decides a run's result, apart from the machine. The defaults are the course's."""

    SCHEMA: ClassVar[str] = "archlab.config/1"

    network: str = "lenet"
    """Source of the network."""
    options: dict[str, Value] = field(default_factory=dict)
    """Options of the network's factory: `{"norm": "none"}`."""
    variant: str = ""
    """What sets this run apart from those it is compared with: `norm=none`."""
    dataset: str = setting(
        "digits", "digits, fashion-mnist, or a folder with a folder of images per class.", metavar="NAME"
    )
    seed: int = setting(0, "First weights and order of the data.", least=0, decides=False)
    epochs: int = setting(5, "Passes over the data.", least=1, varies=True, phrase="{:,d} epochs")
    batch_size: int = setting(256, "Images per step.", least=1, varies=True, phrase="batch {:,d}")
    learning_rate: float = setting(
        0.001, "Adam's learning rate.", name="lr", metavar="X", above=0, varies=True, phrase="learning rate {:g}"
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
    precise_batches: int = setting(
        50, "Training batches for precise statistics (all, if there are fewer).", least=1, varies=True
    )
    momentum: float | None = setting(
        None,
        "Weight of the newest batch in the running averages of BatchNorm (torch's momentum). Default: each layer's "
        "own, usually 0.1.",
        metavar="X",
        holds=lambda weight: 0 < weight <= 1,
        expected="a number above 0 and at most 1",
        varies=True,
        since="2026-11",
        phrase="momentum {:g}",
    )
    probe_every: int = setting(
        0,
        "Steps between looks at how smooth the loss is: how far loss and gradient change along the gradient "
        "(Santurkar et al. 2018). A look costs about 9 steps and changes no weight; 0 for none.",
        least=0,
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


def configured(network: object, chosen: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a network's source, or a whole one, with some fields replaced; every setting is checked.

    Raises:
        InputError: the network is neither, or a setting can't be meant.
    """
    base = network if isinstance(network, TrainingConfig) else TrainingConfig()
    named = {} if isinstance(network, TrainingConfig) else {"network": network}
    config: TrainingConfig = replace(base, **{**named, **chosen})
    if not isinstance(config.network, str):
        raise InputError(
            f"network is of type {type(config.network).__name__}, expected a source: a built-in name, FILE.py:FACTORY, "
            "torchvision:NAME, ... Each run builds its network anew; a module is given as a factory that returns it"
        )
    if not isinstance(config.options, Mapping):
        raise InputError(f"options is {config.options!r}, expected names and values: {{'norm': 'none'}}")
    return settled(config)
