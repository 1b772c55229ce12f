"""One fault, planted in a network, its data or its training; and how it is trained and examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

import archlab
from archlab.analysis.verdicts import LAST_ROWS, examine
from archlab.errors import RunError
from archlab.networks import Source
from archlab.networks.given import config_of
from archlab.records import DataSummary, Examination
from archlab.store import open_store
from archlab.training import session
from archlab.training.datasets import Dataset
from archlab.training.execution import Execution
from archlab.training.preparation import Preparation, Preparer
from archlab.training.summary import summarise

Change = Callable[[Dataset], Dataset]
Build = Callable[[], nn.Module]

SYMPTOMS = ("learning", "diverged-runs", "loss-jumps", "generalisation-gap")
"""Checks that say what a fault leads to; they are no false alarms, as no cause is named where one is known."""
HOUSES: dict[str, dict[str, Any]] = {
    "LeNet": {
        "size": 28,
        "train_samples": 2000,
        "test_samples": 1000,
        "batch_size": 32,
        "epochs": 4,
        "schedule": "cosine",
    },
    "ResNet-20": {
        "size": 16,
        "train_samples": 640,
        "test_samples": 300,
        "batch_size": 32,
        "epochs": 4,
        "schedule": "cosine",
    },
}
"""How each network is trained, unless a fault says otherwise."""
DIGITS: dict[str, Any] = {"train_samples": 1437, "test_samples": 359}


@dataclass(frozen=True)
class Fault:
    """Something that is wrong, or nothing."""

    name: str
    network: str
    """As the table calls it."""
    build: Build
    expected: tuple[str, ...] = ()
    """Checks of which one says the right cause; none for a healthy network."""
    also: tuple[str, ...] = ()
    """Checks that are right to say something too."""
    settings: dict[str, Any] = field(default_factory=dict)
    change: Change | None = None
    """Of the data."""


@dataclass(frozen=True)
class Outcome:
    """What the verdicts say of one fault."""

    fault: Fault
    examination: Examination
    status: str
    accuracy: float | None

    @property
    def alarms(self) -> tuple[str, ...]:
        """Checks with a problem or a warning, each once."""
        return tuple(dict.fromkeys(verdict.check for verdict in self.examination.alarming))

    @property
    def named(self) -> tuple[str, ...]:
        """Checks that say something other than that all is well."""
        return tuple(dict.fromkeys(one.check for one in self.examination.verdicts if one.level != "good"))

    @property
    def is_hit(self) -> bool:
        """Whether the right cause is named; of a healthy network, whether nothing is."""
        if not self.fault.expected:
            return not self.alarms
        return any(check in self.fault.expected for check in self.named)

    @property
    def false_alarms(self) -> tuple[str, ...]:
        """Checks that name another cause."""
        right = {*self.fault.expected, *self.fault.also}
        symptoms = SYMPTOMS if self.fault.expected else ()
        return tuple(check for check in self.alarms if check not in right and check not in symptoms)


class Planted(Preparer):
    """Prepares runs whose data is changed."""

    def __init__(self, execution: Execution, sources: Iterable[Source], change: Change | None) -> None:
        super().__init__(execution, sources)
        self._change = change or (lambda dataset: dataset)

    def dataset(self, run: Preparation) -> Dataset:
        """The changed images."""
        return self._change(super().dataset(run))

    def summary(self, run: Preparation) -> DataSummary:
        """Of the changed images."""
        return summarise(self.dataset(run))


def tried(fault: Fault, dataset: str, data_dir: str | None) -> Outcome:
    """What the verdicts say of a training with a fault, one seed."""
    chosen = HOUSES.get(fault.network, {}) | (DIGITS if dataset == "digits" else {}) | fault.settings
    config, source = config_of(fault.build, {"dataset": dataset, **chosen})
    assert source is not None
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        where = Execution(store=folder, device="cpu", data_dir=data_dir)
        try:
            run = session.run(config, Planted(where, (source,), fault.change))
        except RunError:
            run = open_store(folder).runs()[-1]
        store = open_store(folder)
        found = examine(
            [run], lambda key: store.recording(key, LAST_ROWS), store.curves, lambda key: store.probes(key, "signals")
        )
    return Outcome(fault, found, run.status, run.metric("test_accuracy"))


def lenet(**options: Any) -> nn.Module:
    """The course's LeNet for images of 28 x 28."""
    return archlab.build("lenet", in_channels=1, size=28, **options)


def resnet20(**options: Any) -> nn.Module:
    """ResNet-20 for grey images."""
    return archlab.build("resnet20", in_channels=1, **options)
