"""`archlab.watch`: the recorder, in one line of anybody's loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from archlab.errors import InputError, StoreError
from archlab.records import TrainingConfig, Value, Watched
from archlab.store import Store, open_store
from archlab.training.environment import command, machine
from archlab.training.watching.subject import optimizers_of, subject_of
from archlab.training.watching.watched_run import WatchedRun

EVERY = 200
"""Steps between two looks at the layers: a look takes about as long as a step, so that it costs one percent."""
RECORD_EVERY = 20
"""Steps between two records of the BatchNorm layers, each of which takes a few per cent of a small network's step."""
UNSEEDED = 67280421310721
"""What torch.initial_seed() gives where nobody has set a seed."""
SETTINGS = {"lr": "learning_rate", "weight_decay": "weight_decay", "momentum": "momentum", "betas": "betas"}
"""What is noted of an optimiser, where it has it, and what it is called then."""


def watch(
    model: object,
    optimizer: object = None,
    *,
    store: str | Path | Store | None = None,
    name: str = "",
    dataset: str = "",
    seed: int | None = None,
    every: int = EVERY,
    record_every: int = RECORD_EVERY,
    settings: Mapping[str, Value] | None = None,
    precise: Iterable[Any] | None = None,
) -> WatchedRun:
    """A run of somebody else's training loop, recorded from now on; use it in a `with` statement, or `close()` it.

    What archlab's own trainings record: what the BatchNorm layers hold and get; each layer's activations, gradients and
    update ratios; loss, learning rate, memory and time. Parameters, buffers, random states and results of the loop are
    to the bit what they are without it. A run that is never closed ends with its process.

    In a distributed training all processes call it, and the first one records: its own batches, layers and gradients,
    which after DistributedDataParallel's averaging are those of all.

    Args:
        model: a module, compiled or wrapped or not; or a dictionary or list of some, as of a GAN.
        optimizer: whose step is a step of the training, or several; None, or several, and `run.step()` ends a step.
        store: the folder, or a store; by default $ARCHLAB_STORE, else `archlab-runs` here.
        name: what this run is called beside others of the same network.
        dataset: what its data are called.
        seed: which one it is; by default what torch was seeded with.
        every: steps between two looks at the layers, beside the first, tenth and thirtieth; 0 for none.
        record_every: steps between two records of the BatchNorm layers; 0 for none.
        settings: what else to note of it: batch size, augmentation, ...
        precise: batches of training data, each a tensor or beginning with one: after each epoch, the precise statistics
            of the BatchNorm layers are measured over them.

    Raises:
        InputError: the model or the optimiser is none, or a number of steps is below 0.
        StoreError: the store can't be written.

    >>> from tempfile import TemporaryDirectory
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    >>> with TemporaryDirectory() as folder:
    ...     with watch(network, optimizer, store=folder) as run:
    ...         for _ in range(3):
    ...             loss = network(torch.randn(16, 4)).square().mean()
    ...             optimizer.zero_grad()
    ...             loss.backward()
    ...             optimizer.step()
    ...             run.step(loss=loss)
    ...         run.epoch(test_accuracy=0.5)
    ...     print(run.record.status, run.record.epochs[0].step, run.record.epochs[0].test_accuracy)
    finished 3 0.5
    """
    for called, value in (("every", every), ("record_every", record_every)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise InputError(f"{called} is {value!r}, expected a number of steps: 1 or more, or 0 for none")
    subject, optimizers = subject_of(model), optimizers_of(optimizer)
    if precise is not None and len(subject.networks) > 1:
        raise InputError("precise is given with several networks, expected one: nobody knows which gets the batches")
    first, processes = _place()
    notes = []
    if processes > 1:
        notes.append(f"Recorded in the first of {processes} processes: its batches, its layers and its losses.")
    if subject.is_compiled:
        notes.append(
            "The network is compiled by torch.compile, which calls no hooks: of the layers, only weights and their "
            "gradients are recorded."
        )
    watched = Watched({**_optimizer_settings(optimizers), **(settings or {})}, every, processes, tuple(notes))
    chosen = torch.initial_seed() if seed is None else seed
    if not first:
        return WatchedRun(subject, optimizers, None, watched)
    home = store if isinstance(store, Store) else open_store(store)
    config = TrainingConfig(
        network=subject.title,
        variant=name,
        dataset=dataset or "its own data",
        seed=chosen if chosen != UNSEEDED and chosen < 2**63 else 0,
    )
    config = replace(config, variant=_distinct(config, home))
    parameters = sum(held.numel() for held in subject.network.parameters())
    environment = machine(subject.device) | {"command": command()}
    writer = home.writer(config, environment, parameters, watched=watched)
    return WatchedRun(subject, optimizers, writer, watched, record_every=record_every, precise=precise)


def _distinct(config: TrainingConfig, store: Store) -> str:
    """The variant's name, with a number where the store has a watched run of that name, data and seed already."""
    others = []
    for folder in store.run_folders():
        if "-watched-" in folder.key:  # as those of watched runs are; no other is read
            with suppress(StoreError):
                others.append(folder.run().config)
    taken = {(other.network, other.dataset, other.seed, other.label) for other in others}
    for number in itertools.count(1):
        variant = config.variant if number == 1 else f"{config.label} #{number}"
        if (config.network, config.dataset, config.seed, variant or config.network) not in taken:
            return variant
    raise AssertionError


def _place() -> tuple[bool, int]:
    """Whether this is the first process of the training, and how many there are."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()):
        return True, 1
    return distributed.get_rank() == 0, distributed.get_world_size()


def _optimizer_settings(optimizers: list[torch.optim.Optimizer]) -> dict[str, Value]:
    """The names of the optimisers, and what the first group of the only one is set to."""
    if not optimizers:
        return {}
    found: dict[str, Value] = {"optimizer": " + ".join(type(one).__name__ for one in optimizers)}
    for name, called in SETTINGS.items() if len(optimizers) == 1 else ():
        value = optimizers[0].param_groups[0].get(name)
        if isinstance(value, tuple):
            found[called] = ", ".join(f"{part:g}" for part in value)
        elif value is not None:
            found[called] = float(value)
    return found
