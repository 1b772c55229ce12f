"""What a run is made of, settled before it trains: its network, its images, and how one is fitted to the other.

A `Preparer` resolves each network and reads each data set once, for as many runs as it is asked for; whoever trains,
times, checks or traces runs takes what they are made of from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archlab import networks
from archlab.errors import InputError
from archlab.memory import demand
from archlab.networks import Source, members
from archlab.networks.devices import find_device
from archlab.networks.imports import searching
from archlab.networks.recorded import refuse_code
from archlab.networks.strangers import contained, described, settings_kept
from archlab.records import DataSummary, Trace, TrainingConfig, Value
from archlab.records.settings import settled
from archlab.training import datasets, images, seeding
from archlab.training.datasets import Dataset, Share, alone
from archlab.training.environment import describe
from archlab.training.execution import Execution
from archlab.training.images import Images
from archlab.training.kernels import chosen
from archlab.training.norms import evaluating
from archlab.training.precision import computing_in
from archlab.training.summary import summarise


@dataclass(frozen=True, slots=True, eq=False)
class Preparation:
    """One run, ready to be trained."""

    config: TrainingConfig
    source: Source
    """Its network with the options that it is built with: those given, and what of the data set it asks for."""
    images: Images
    """Its data set, as it lies on disk."""
    size: int | None
    """Height and width that the images are resized to; None for their own."""
    channels: int
    """Channels that the network is given: the images' own, or three for grey images."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of what the network is given."""
        size = self.size or self.images.size or 0
        return self.channels, size, size

    @property
    def is_repeated(self) -> bool:
        """Whether grey images are repeated in the channels that the network takes."""
        return self.channels != self.images.channels

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what was done to the network and its images so that they go together."""
        if self.source.operation:
            with seeding.preserved():
                self.source.build()
        grey = f"The grey images of {self.config.dataset} are repeated in the {self.channels} channels that "
        grey += f"{self.config.network} takes."
        return (*self.source.notes, *([grey] if self.is_repeated else []))

    def trace(self, network: nn.Module | None = None) -> Trace:
        """The network's shapes, parameters and costs on one image, as it is trained.

        Args:
            network: one that is built already; it stays as it is. None to build another, without weights.

        Raises:
            ForwardError: it does not take the image.
        """
        from archlab.tracing import trace

        shape = [(1, *self.image_shape)]
        if network is None:
            traced = trace(self.source, shape)
        else:
            with evaluating(network):
                traced = trace(network, shape)
            options = {name: str(value) for name, value in self.source.options.items()}
            traced = replace(traced, network=self.source.name, options=options)
        return replace(traced, notes=tuple(dict.fromkeys((*traced.notes, *self.notes))))

    def environment(self, device: torch.device, network: nn.Module) -> dict[str, Value]:
        """What decides the run's result beside its configuration, for its record; the network has its first weights."""
        file = self.source.file
        with searching(Path(file).parent) if file else nullcontext():  # its modules, and no others of their names
            found = describe(device, network, self.images.fingerprint, self.source.module)
        if kernels := chosen(network, self.config, self.image_shape, device).name:
            found["kernels"] = kernels
        return found | ({"images": f"grey, repeated in {self.channels} channels"} if self.is_repeated else {})

    @property
    def samples(self) -> tuple[int, int]:
        """How many images it trains on and how many it is tested with, of those that there are."""
        config, train, test = self.config, len(self.images.train.labels), len(self.images.test.labels)
        return min(train, config.train_samples or train), min(test, config.test_samples or test)

    def dataset(
        self,
        train_samples: int | None,
        test_samples: int | None,
        device: torch.device,
        share: Share = alone,
    ) -> Dataset:
        """So many of its images on a device, as the network is given them; `datasets.prepare` says more.

        Raises:
            DataError: there are fewer, they have no common size, or can't be normalised so.
        """
        images, size, normalise = self.images, self.size, self.config.normalise
        return datasets.prepare(images, size, train_samples, test_samples, device, self.channels, normalise, share)

    def network(self, device: Literal["cpu", "meta"] = "cpu") -> nn.Module:
        """A new network: on the CPU, its first weights decided by the seed alone; or on `meta`, without any."""
        with settings_kept():
            if device == "meta":
                return self._sized(self.source.build("meta"))
            # What surgery changes draws nothing: all other layers begin as they would without it.
            built = seeding.build(lambda: self._sized(self.source.untouched()), self.config.seed)
            if any(tensor.is_meta for tensor in (*members.parameters(built), *members.buffers(built))):
                raise InputError(
                    f"{self.config.network} has parameters on the device meta, which have no values to train"
                )
            return computing_in(self.source.operated(built), self.config.precision)

    def _sized(self, network: nn.Module) -> nn.Module:
        """The network, whose lazy layers have got the sizes that one image gives them.

        Raises:
            InputError: it has lazy layers and fails on an image.
        """
        tensors = (*members.parameters(network), *members.buffers(network))
        if not any(map(is_lazy, tensors)):
            return network
        device = next((tensor.device for tensor in tensors), torch.device("cpu"))
        try:
            with torch.no_grad(), evaluating(network), contained():
                network(torch.zeros(1, *self.image_shape, device=device))
        except Exception as error:  # whatever a stranger's network may raise
            raise InputError(
                f"{self.config.network} has lazy layers, whose sizes its first input decides, and fails on an image of "
                f"shape {(1, *self.image_shape)}: {described(error)}"
            ) from error
        return network


class Preparer:
    """Prepares runs that are executed alike.

    Args:
        execution: where and how.
        sources: networks that a configuration's name doesn't find, since this process alone has them.
        trust: whether what a configuration names is built whatever it is; False for one that a record holds, of which
            `archlab.networks.recorded` says what may be.
        share: how this process has images on the CPU in common with others.
    """

    def __init__(
        self,
        execution: Execution,
        sources: Iterable[Source] = (),
        *,
        trust: bool = True,
        share: Share = alone,
    ) -> None:
        self.execution = settled(execution)
        self._share = share
        self._trust = trust
        self._sources = {source.name: source for source in sources}
        self._read = cache(self._images)
        self._latest: tuple[object, Dataset] | None = None
        self._summary: tuple[object, DataSummary] | None = None
        self._traces: dict[object, Trace | None] = {}

    @classmethod
    def of(cls, where: Execution | Preparer) -> Preparer:
        """A preparer as it is, or a new one for an execution."""
        return where if isinstance(where, Preparer) else cls(where)

    @cached_property
    def device(self) -> torch.device:
        """Where the runs are trained.

        Raises:
            InputError: this machine has no such device.
        """
        return find_device(self.execution.device)

    @property
    def stacks(self) -> bool:
        """Whether runs may be trained as one program, by the execution or, where it leaves that open, the device."""
        return self.execution.stacks(accelerator=self.device.type != "cpu")

    def prepare(self, config: TrainingConfig) -> Preparation:
        """What the run of a configuration is made of.

        Raises:
            InputError: a setting, the network, an option or the data can't be used.
        UntrustedError: a record names the network, and it is neither archlab's, torchvision's nor timm's.
        """
        with settings_kept():
            return self._prepared(settled(config))

    def _prepared(self, config: TrainingConfig) -> Preparation:
        known = self._sources.get(config.network)
        if not self._trust:
            refuse_code(config.network, config.options)
        source = known.with_options(config.options) if known else networks.resolve(config.network, config.options)
        self._sources[config.network] = source
        found = self._read(config.dataset)
        size = config.size
        if size is None and len(source.input_shapes) == 1 and len(source.input_shapes[0]) == 4:
            size = source.input_shapes[0][-1]
        side = size or found.size
        fitted = source.with_options(_fitted(source, config, found, side))
        run = Preparation(config, fitted, found, size, _channels(fitted, found))
        _demand_room(run)
        return replace(run, source=fitted.shown((2, *run.image_shape)))

    def dataset(self, run: Preparation) -> Dataset:
        """The images of a run on its device; those of the last run are kept for the next.

        Raises:
            DataError: there are fewer than were asked for, or they have no common size.
        """
        wanted = _chosen(run)
        if self._latest is None or self._latest[0] != wanted:
            config, share = run.config, self._share if self.device.type == "cpu" else alone
            self._latest = wanted, run.dataset(config.train_samples, config.test_samples, self.device, share)
        return self._latest[1]

    def summary(self, run: Preparation) -> DataSummary:
        """What the images of a run are, in numbers; as `dataset`, and kept with it for the next run."""
        wanted = _chosen(run)
        if self._summary is None or self._summary[0] != wanted:
            self._summary = wanted, summarise(self.dataset(run))
        return self._summary[1]

    def trace(self, run: Preparation, network: nn.Module) -> Trace | None:
        """The trace of a run's network, once for all runs of it; None where it can't be traced."""
        config = run.config
        kind = config.network, tuple(sorted(run.source.options.items())), run.image_shape
        if kind not in self._traces:
            self._traces[kind] = None
            with suppress(Exception):  # whatever a stranger's network may raise; if it can't be trained, that is told
                self._traces[kind] = run.trace(network)
        return self._traces[kind]

    def _images(self, dataset: str) -> Images:
        return images.load_images(*self.execution.found(dataset), download=self.execution.download)


def _demand_room(run: Preparation) -> None:
    """Hold that the images and what is noted of each step fit into the memory.

    Raises:
        InputError: they do not.
    """
    channels, height, width = run.image_shape
    train, test = run.samples
    demand(
        (train + test) * channels * height * width,
        f"{train + test:,} images of {channels} x {height:,} x {width:,}",
        "choose a smaller --size, or fewer of them (--train-samples, --test-samples)",
    )
    config = run.config
    steps = config.epochs * -(-train // config.batch_size)
    demand(steps * STEP_BYTES, f"{steps:,} steps ({config.epochs:,} epochs)", "choose fewer --epochs")
    points = config.landscape**2
    demand(points * STEP_BYTES, f"a landscape of {points:,} points", "choose fewer (--landscape 21)")


STEP_BYTES = 64
"""That are held of each step: its losses, accuracies and rates, and their copies while they are written."""
CHANNELS = ("in_channels", "in_chans")
CLASSES = ("classes", "num_classes", "n_classes")
SIZES = ("size", "image_size")
"""What archlab's networks, torchvision's, timm's and most people's call an option that follows the data."""


def _chosen(run: Preparation) -> tuple[object, ...]:
    """What decides which images a run has, and how they are given to the network."""
    config = run.config
    return config.dataset, run.size, config.train_samples, config.test_samples, run.channels, config.normalise


def _fitted(source: Source, config: TrainingConfig, found: Images, side: int | None) -> Mapping[str, Value]:
    """The options of a network, and what of the data set it asks for: channels, classes and size of its images.

    Raises:
        InputError: the options given don't go with the data.
    """
    needed: dict[str, Value] = {}
    for names, wanted in ((CHANNELS, found.channels), (CLASSES, len(found.classes)), (SIZES, side)):
        needed |= {name: wanted for name in names if wanted is not None}
    for name, value in needed.items():
        given = source.options.get(name, value)
        # More classes than the data has are outputs that stay unused, which is no mistake.
        if given != value and not (name in CLASSES and isinstance(given, int) and given > len(found.classes)):
            raise InputError(
                f"{config.network} was given {name}={given}, and the images of {config.dataset} need {name}={value}: "
                "leave the option out, it follows the data"
            )
    return {name: value for name, value in needed.items() if name in source.available} | dict(source.options)


def _channels(source: Source, found: Images) -> int:
    """The channels that a network is given: three for grey images where it takes three and has no option for that."""
    if found.channels != 1 or any(name in source.available for name in CHANNELS):
        return found.channels
    if source.input_shapes:
        taken = source.input_shapes[0][1] if len(source.input_shapes[0]) == 4 else 1
    else:
        with seeding.preserved():
            # With weights: a factory may give what lies in its module, and building without them would take them off.
            layers = list(members.modules(source.untouched()))
        taken = next((layer.in_channels for layer in layers if isinstance(layer, nn.Conv2d)), 1)
    return 3 if taken == 3 else 1


def distinct(configs: Iterable[TrainingConfig]) -> list[TrainingConfig]:
    """One configuration of each network, with its options, on each data set and size."""
    alike = {
        (config.network, tuple(sorted(config.options.items())), config.dataset, config.size): config
        for config in configs
    }
    return list(alike.values())


def notes(configs: Iterable[TrainingConfig], preparer: Preparer) -> list[str]:
    """What was done to the networks of some runs and to their images so that they go together, each thing once."""
    return list(dict.fromkeys(note for config in distinct(configs) for note in preparer.prepare(config).notes))
