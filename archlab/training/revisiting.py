"""The loss landscape of a run that has ended, measured afterwards.

The store keeps no weights, so the run is trained again from its configuration, which on the same machine and versions
gives the same bits; its losses are held against the stored ones, step by step. From then on the weights and the points
so far are kept beside the run, so that a measurement that was stopped goes on where it was, without training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from archlab.errors import DivergedError, InputError
from archlab.memory import demand
from archlab.networks import members
from archlab.records import Landscape, Run, TrainingConfig
from archlab.records.settings import divided, settled
from archlab.store.keys import STACKED
from archlab.training import seeding
from archlab.training.execution import Execution
from archlab.training.loop import Trainer
from archlab.training.precision import products_in
from archlab.training.preparation import Preparer
from archlab.training.probes import landscape
from archlab.training.probes.surface import Surface, TrainingLoss
from archlab.training.progress import Pace, Progress
from archlab.training.session import REPORT_SECONDS

if TYPE_CHECKING:
    from archlab.store.landscape_draft import LandscapeDraft
    from archlab.training.datasets import Dataset

KEEP_SECONDS = 5.0
"""Seconds between two times that the points so far are kept."""
Tell = Callable[[Progress], None]


def measure_landscape(
    run: str,
    points: int = 21,
    *,
    execution: Execution | None = None,
    progress: Tell | None = None,
    trust: bool = False,
    **settings: Any,
) -> Landscape:
    """The landscape around the weights of a finished run, now kept with it.

    A landscape of as many points that the run has already is returned as it is, unless the execution is `fresh`.

    Args:
        run: its key in the store.
        points: on each side of the grid, odd; 21 take 441 forward passes.
        execution: where and how.
        progress: called with each event.
        trust: build the network that the run names though it is neither archlab's, torchvision's nor timm's: a store
            may be somebody else's, and its code is run.
        settings: fields of `Execution` (`store=...`, `device="cpu"`, ...).

    Raises:
        InputError: there is no such run, it has not finished, its network or its data can't be used or aren't those it
            was trained with, it trains to other losses here than those that are stored, or another process measures it.
        StoreError: the store can't be read or written.

    >>> from archlab.training import train
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     made = train(epochs=1, train_samples=160, store=folder)
    ...     measure_landscape(made.key, 3, store=folder).losses.shape
    (3, 3)
    """
    (where,) = divided(settings, Execution)
    execution = settled(replace(execution or Execution(), **where))
    if points < 3 or points % 2 == 0:
        raise InputError(f"points is {points}, expected an odd number from 3 on: the trained weights are in the middle")
    demand(64 * points**2, f"a landscape of {points:,} x {points:,} points", "choose fewer")
    home, tell = execution.home, progress or (lambda event: None)
    found = home.run(run)
    if found.watched is not None:
        raise InputError(f"run {run} was watched: archlab can't train it again, and keeps no weights to look around of")
    if found.status != "finished":
        raise InputError(f"run {run} is {found.status}: only of a finished run are there weights to look around of")
    probes = None if execution.fresh else home.probes(run)
    if probes and probes.landscape is not None and len(probes.landscape.coordinates) == points:
        return probes.landscape
    preparer = Preparer(execution, trust=trust)
    config = replace(found.config, record_every=0, probe_every=0, probes=None, landscape=0)
    with home.landscape_draft(run) as draft, _as_trained(found, preparer.device):
        prepared = preparer.prepare(config)
        dataset, network = preparer.dataset(prepared), prepared.network()
        differences = _differences(found, prepared.environment(preparer.device, network))
        members.set_training(members.moved(network, preparer.device), True)
        if execution.fresh or not draft.weights:
            tell(Progress(config, "started", run, steps=found.epochs[-1].step))
            _train(network, dataset, found, config, home.curves(run), differences, tell)
            draft.weights = {name: held.clone().cpu().numpy() for name, held in network.state_dict().items()}
            draft.keep(points, [])
        else:
            tell(Progress(config, "started", run))
            _restore(network, draft)
        losses = [torch.tensor(loss, device=preparer.device) for loss in draft.losses] if draft.points == points else []
        surface = Surface(network, (loss := TrainingLoss(network, dataset.train, config.seed)), len(loss.labels))
        measured = landscape.measure(surface, config.seed, points, _Keeper(draft, points, losses, config, tell), losses)
        draft.finish(measured)
    tell(Progress(config, "finished", run, run=found))
    return measured


@contextmanager
def _as_trained(run: Run, device: torch.device) -> Iterator[None]:
    """A context with the number of threads that the run was trained with; they decide the last bits of sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(int(run.environment.get("threads") or threads))
    try:
        with seeding.preserved(device), products_in(run.config.precision):
            yield
    finally:
        torch.set_num_threads(threads)


def _differences(run: Run, here: dict[str, Any]) -> str:
    """What is not as it was when the run was trained, in words; empty where all is.

    Raises:
        InputError: the network or the data are others, or the run was trained with others as one program.
    """
    if run.environment.get(STACKED):
        raise InputError(
            f"run {run.key} was trained with others as one program (--stack), whose bits it does not give by itself: "
            "train it anew with --landscape N"
        )
    changed = {name: value for name, value in here.items() if name != "command" and run.environment.get(name) != value}
    for name, what in (("network", f"network {run.config.network}"), ("data", f"data set {run.config.dataset}")):
        if changed.pop(name, None) is not None:
            raise InputError(
                f"the {what} is not the one that run {run.key} was trained with: put back what was changed, or train "
                "it anew with --landscape N"
            )
    return ", ".join(f"{name} {run.environment.get(name)} then, {value} now" for name, value in changed.items())


def _train(
    network: nn.Module,
    dataset: Dataset,
    run: Run,
    config: TrainingConfig,
    curves: dict[str, Any],
    differences: str,
    tell: Tell,
) -> None:
    """Train the network as the run did.

    Raises:
        InputError: its losses are not those of the run.
    """
    trainer, steps, reports = Trainer(network, dataset, config), run.epochs[-1].step, Pace(REPORT_SECONDS)

    def on_step(step: int) -> None:
        if reports.is_due():
            tell(Progress(config, "step", run.key, (step - 1) // trainer.steps_per_epoch, step, steps))

    try:
        for epoch in trainer.epochs(on_step):
            tell(Progress(config, "epoch", run.key, epoch.epoch, epoch.step, steps, metrics=epoch))
    except DivergedError as error:
        raise InputError(f"run {run.key} diverges when it is trained again: {error} ({differences})") from error
    again, stored = trainer.curves()["train_loss"], curves.get("train_loss", np.empty(0))
    shared = min(len(again), len(stored))
    other = np.flatnonzero(again[:shared] != stored[:shared])
    if len(again) != len(stored) or other.size:
        step = int(other[0]) + 1 if other.size else shared + 1
        reason = f" ({differences})" if differences else ", though nothing is known to have changed"
        raise InputError(
            f"run {run.key} trains to other losses here from step {step} on{reason}: its weights can't be had again. "
            "Measure it where it was trained, or train it anew with --landscape N"
        )


def _restore(network: nn.Module, draft: LandscapeDraft) -> None:
    """Put the weights of a draft into the network, which is the one they are from."""
    with torch.no_grad():
        for name, held in network.state_dict(keep_vars=True).items():
            held.copy_(torch.from_numpy(draft.weights[name]).reshape(held.shape))


class _Keeper:
    """Keeps the points so far from time to time, and tells how many there are."""

    def __init__(
        self, draft: LandscapeDraft, points: int, losses: list[Tensor], config: TrainingConfig, tell: Tell
    ) -> None:
        self._draft, self._points, self._losses, self._config, self._tell = draft, points, losses, config, tell
        self._reports, self._keeps = Pace(REPORT_SECONDS), Pace(KEEP_SECONDS)

    def __call__(self, point: int) -> None:
        if self._reports.is_due():
            self._tell(Progress(self._config, "landscape", self._draft.key, 0, point, self._points**2))
        if self._keeps.is_due():
            self._draft.keep(self._points, [loss.item() for loss in self._losses])
