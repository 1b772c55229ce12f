"""Where and how runs are trained: what changes no result but by rounding. Importing this module loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archlab.records.display import Shown
from archlab.records.settings import setting
from archlab.store import Store, open_store

ENGINES = ("local", "ray")


@dataclass(frozen=True, slots=True)
class Execution(Shown):
    """Where and how runs are trained. It is handed through whole, from the call to the process that trains."""

    device: str | None = setting(
        None, "cpu, cuda, cuda:1, ... Default: an accelerator if any, in a comparison all.", metavar="NAME"
    )
    workers: int | None = setting(None, "Processes, of one thread. Default: one per core, or per accelerator.", least=1)
    engine: str = setting(
        "local",
        "local: processes of this machine. ray: of a Ray cluster (archlab[ray]).",
        metavar="NAME",
        holds=ENGINES.__contains__,
        expected=f"one of {', '.join(ENGINES)}",
    )
    address: str | None = setting(
        None,
        "Of the cluster, with --engine ray. Default: RAY_ADDRESS, else one that runs on this machine, else a new one.",
    )
    store: Path | str | Store | None = setting(
        None, "Folder of runs. Default: ARCHLAB_STORE, else archlab-runs.", metavar="DIR"
    )
    data_dir: Path | str | None = setting(
        None, "Where MNIST, CIFAR and their like lie. Default: ARCHLAB_DATA.", metavar="DIR"
    )
    stack: str | None = setting(
        None,
        "Train runs that differ in their weights and rates alone (seeds, learning rates) as one program: auto where a "
        "few steps of both ways show that it is quicker, off, or so many at a time. They agree with runs that are "
        "trained by themselves up to rounding, not in every bit, and their keys say so. Default: off on a processor, "
        "auto on an accelerator.",
        metavar="auto|off|N",
        holds=lambda text: text in ("auto", "off") or (text.isdecimal() and int(text) > 1),
        expected="auto, off, or how many runs at a time, from 2 on",
    )
    download: bool = setting(False, "Fetch the data set if it isn't there.")
    fresh: bool = setting(False, "Train again what the store has.")
    checkpoint_seconds: float = setting(
        10.0,
        "Seconds between two checkpoints, from which a run that was stopped goes on; 0 for none. They take 2 % of the "
        "time at most, and are further apart where one takes long.",
        metavar="SECONDS",
        least=0,
    )

    placed: tuple[tuple[str, str, str], ...] = ()
    """Data sets that a worker of a cluster was sent: each with its name, or its folder, and the data folder there."""

    def stacks(self, *, accelerator: bool) -> bool:
        """Whether runs may be trained as one program: as `stack` says, else on an accelerator alone."""
        return (self.stack or ("auto" if accelerator else "off")) != "off"

    def found(self, dataset: str) -> tuple[str, Path | str | None]:
        """The name, or the folder, of a data set on this machine, and the data folder that it lies in."""
        return next(
            ((name, folder) for known, name, folder in self.placed if known == dataset), (dataset, self.data_dir)
        )

    @property
    def home(self) -> Store:
        """The store that runs are kept in.

        Raises:
            StoreError: its path is there and is no folder.
        """
        return self.store if isinstance(self.store, Store) else open_store(self.store)
