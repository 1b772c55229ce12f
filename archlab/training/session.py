"""One run, from its configuration to the store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from archlab import networks
from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig, Value
from archlab.store import Store, run_key
from archlab.training import datasets, images, seeding
from archlab.training.datasets import Dataset
from archlab.training.environment import describe, find_device
from archlab.training.last_batch import check_last_batch
from archlab.training.loop import Trainer
from archlab.training.progress import Progress

REPORT_EVERY = 0.1
"""Seconds between two `step` events."""
KEEP_EVERY = 1.0
"""Seconds between two readings of the step curves, for which the device is waited for, into the store."""

Load = Callable[[str, int | None, int | None, int | None, torch.device], Dataset]
"""(data set, size, train samples, test samples, device) -> what is trained on."""


def train(
    config: TrainingConfig,
    *,
    store: Store | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """The finished run of a configuration, trained in this process.

    Random states and settings of torch are afterwards what they were.

    Args:
        config: what to train.
        store: where the run is kept, its curves and recording with it; None keeps nothing but what is returned.
        device: `cpu`, `cuda`, ...; None for the accelerator if there is one.
        data_dir: where Fashion-MNIST lies; else `$ARCHLAB_DATA`.
        download: fetch Fashion-MNIST where it is missing.
        progress: called with each event.

    Raises:
        InputError: the configuration, the network, the device or the data can't be used.
        RunError: the loss is not finite any more, or the network fails on a batch; the store has the run as failed.

    >>> train(TrainingConfig(epochs=1)).epochs[-1].step
    6
    """
    if store is None:
        with TemporaryDirectory() as folder:
            return run(config, Store(Path(folder)), device, loader(data_dir, download), progress=progress)
    return run(config, store, device, loader(data_dir, download), progress=progress)


def run(
    config: TrainingConfig,
    store: Store,
    device: str | None,
    load: Load,
    *,
    fresh: bool = True,
    progress: Callable[[Progress], None] | None = None,
) -> Run:
    """As `train`, with data from `load`; a finished run of the same key is taken from the store unless `fresh`."""
    tell = progress or (lambda event: None)
    check(config)
    # Convolutions in TF32 would be another experiment.
    with torch.backends.cudnn.flags(allow_tf32=False):
        chosen = find_device(device)
        dataset = load(config.dataset, image_size(config), config.train_samples, config.test_samples, chosen)
        network = make_network(config, dataset)
        environment = describe(chosen, network, dataset.fingerprint)
        key = run_key(config, environment)
        known = None if fresh else store.finished(key)
        if known is not None:
            tell(Progress(config, "reused", key, epoch=config.epochs, run=known))
            return known
        check_last_batch(network, dataset.image_shape, len(dataset.train), config.batch_size)
        trainer = Trainer(network.to(chosen), dataset, config)
        return _run(config, store, environment, trainer, tell)


def _run(
    config: TrainingConfig,
    store: Store,
    environment: dict[str, Value],
    trainer: Trainer,
    tell: Callable[[Progress], None],
) -> Run:
    steps = config.epochs * trainer.steps_per_epoch
    told = kept = time.monotonic()
    written = 0

    def on_step(step: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= REPORT_EVERY:
            told = now
            tell(Progress(config, "step", writer.key, (step - 1) // trainer.steps_per_epoch, step, steps))
        if now - kept >= KEEP_EVERY:
            keep(step)

    def on_point(point: int) -> None:
        nonlocal told
        if time.monotonic() - told >= REPORT_EVERY:
            told = time.monotonic()
            tell(Progress(config, "landscape", writer.key, config.epochs, point, config.landscape**2))

    def keep(step: int) -> None:
        nonlocal kept, written
        writer.append_steps(trainer.curves(since=written))
        kept, written = time.monotonic(), step

    with store.writer(config, environment, trainer.parameters) as writer:
        tell(Progress(config, "started", writer.key, steps=steps))
        try:
            for epoch in trainer.epochs(on_step):
                keep(epoch.step)
                writer.append(epoch)
                tell(Progress(config, "epoch", writer.key, epoch.epoch, epoch.step, steps, metrics=epoch))
            trainer.look_around(on_point)
        except Exception as error:  # whatever a stranger's network may raise
            reason = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
            failed = writer.fail(reason, trainer.curves(), trainer.recording(), trainer.probes())
            tell(Progress(config, "failed", writer.key, len(failed.epochs), steps=steps, run=failed, error=reason))
            raise RunError(reason) from error
        finished = writer.finish(trainer.curves(), trainer.recording(), trainer.probes())
    tell(Progress(config, "finished", writer.key, config.epochs, steps, steps, run=finished))
    return finished


def loader(data_dir: str | Path | None, download: bool) -> Load:
    """A function that reads a data set and prepares it."""

    def load(
        dataset: str, size: int | None, train_samples: int | None, test_samples: int | None, device: torch.device
    ) -> Dataset:
        found = images.read(dataset, data_dir, download=download)
        return datasets.prepare(found, size, train_samples, test_samples, device)

    return load


def image_size(config: TrainingConfig) -> int | None:
    """Height and width that a configuration's images get: its own, else its network's; None for the images' own."""
    if config.size is not None:
        return config.size
    shapes = networks.resolve(config.network, config.options).input_shapes
    return shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) == 4 else None


def make_network(config: TrainingConfig, dataset: Dataset) -> nn.Module:
    """The network of a configuration on the CPU, fitted to the data, its first weights decided by the seed alone.

    Channels, classes and size of the data set are passed to a network that has such options, unless they are given.
    """
    channels, size, _ = dataset.image_shape
    options = fitted_options(config, channels, len(dataset.classes), size)
    return seeding.build(networks.resolve(config.network, options).build, config.seed)


def fitted_options(config: TrainingConfig, channels: int, classes: int, size: int) -> dict[str, Value]:
    """The options that a configuration's network is built with: those given, and what of the data set it asks for.

    Raises:
        InputError: the options given don't go with the data.
    """
    source = networks.resolve(config.network, config.options)
    fitting: dict[str, Value] = {"in_channels": channels, "classes": classes, "size": size}
    for name, needed in fitting.items():
        value = source.options.get(name, needed)
        # More classes than the data has are outputs that stay unused, which is no mistake.
        if value != needed and not (name == "classes" and isinstance(value, int) and value > classes):
            raise InputError(
                f"{config.network} was given {name}={value}, and the images of {config.dataset} need {name}={needed}: "
                "leave the option out, it follows the data"
            )
    return {name: value for name, value in fitting.items() if name in source.available} | config.options


def fitted_source(config: TrainingConfig, found: images.Images) -> tuple[networks.Source, tuple[int, int, int]]:
    """The network of a configuration, fitted to the data, and the (channels, height, width) of what it is given.

    Raises:
        InputError: the options given don't go with the data.
    """
    size = image_size(config) or found.size or 0
    options = fitted_options(config, found.channels, len(found.classes), size)
    return networks.resolve(config.network, options), (found.channels, size, size)


def check(config: TrainingConfig) -> None:
    """Raise an `InputError` if a number of the configuration can't be meant."""
    smallest = {"epochs": 1, "batch_size": 1, "record_every": 0, "precise_batches": 1, "probe_every": 0}
    if config.size is not None:
        smallest["size"] = 1
    for name, least in smallest.items():
        value = getattr(config, name)
        if value < least:
            raise InputError(f"{name} is {value}, expected {least} or more")
    if config.landscape and (config.landscape < 3 or config.landscape % 2 == 0):
        raise InputError(
            f"landscape is {config.landscape}, expected 0 for none, or an odd number from 3 on: the trained weights "
            "are the point in the middle"
        )
    if not (math.isfinite(config.learning_rate) and config.learning_rate > 0):
        raise InputError(f"learning_rate is {config.learning_rate}, expected a number above 0")
