"""What the BatchNorm layers hold while they train: a row every k steps, one at each end of an epoch, and the first.

Measuring semantics: row i is the state after the optimiser step `steps[i]`, the running statistics among it; an
epoch starts in the state in which the last one ended, so those rows are the start's too. The batch statistics are what
went into the running ones in that step: the batch variance is unbiased in torch's layers and biased in archlab's own.
They are not computed a second time but solved for from the running statistics before and after the step,
batch = before + (after - before) / share, so their error is float32's rounding of the running value divided by the
share (about 1e-6 of it at 0.1). The share is that of all updates of the step: 0.19 for two at a momentum of 0.1. Row 0
comes before any batch: its batch statistics are NaN, as are those of a layer that is not updated (one in evaluation
mode, or with a momentum of 0). A layer called several times in a step gives a mixture.

The rows take `ROW_BYTES` bytes at most (or two rows per epoch, where that is more). When they are full, k is doubled
and the rows that no longer fit are dropped, the ends of epochs never.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from archlab.records import NormRecording
from archlab.training.norms import NormLayer
from archlab.training.population import Moments

if TYPE_CHECKING:
    from archlab.records.run import Array

ROW_BYTES = 16 * 2**20
"""Of all rows of a run, on the device."""


class NormRecorder:
    """Fills rows while a network trains.

    Args:
        layers: which layers.
        every: how many steps lie between two rows.
        epochs: how many there will be; None where nobody knows, nor how long they are: `end_epoch` tells.
        steps_per_epoch: of each.
    """

    def __init__(
        self, layers: Sequence[NormLayer], every: int, epochs: int | None = None, steps_per_epoch: int | None = None
    ) -> None:
        self._layers = layers
        self._every = every
        self._epoch = steps_per_epoch
        self._channels = sum(layer.channels for layer in layers)
        self._ends: set[int] = set()  # of epochs, where their length isn't known
        self._limit = max(ROW_BYTES // (6 * 4 * self._channels), 2 * ((epochs or 0) + 1))
        if epochs is not None and steps_per_epoch is not None:
            self._limit = min(1 + epochs * (1 + steps_per_epoch // every), self._limit)
        device = layers[0].statistics()[0].device
        self._rows = torch.empty(self._limit + 1, 6 * self._channels, device=device)
        self._steps: list[int] = []
        self._counts = torch.zeros(2, self._limit + 1, len(layers), dtype=torch.int64, device=device)
        self._frozen: list[list[bool]] = []
        self._population: list[Mapping[str, Moments]] = []
        self.before()
        self.after(0)

    def due(self, step: int) -> bool:
        """Whether the optimiser step of that number, from 1, gets a row."""
        if self._epoch is None:
            return step % self._every == 0 or step == 1 or step in self._ends
        return step % self._every == 0 or step % self._epoch == 0

    def before(self) -> None:
        """Note the running statistics before a step that is due."""
        row = self._row()
        _join([tensor for layer in self._layers for tensor in layer.statistics()], row[: 2 * self._channels])
        self._count(0)

    def after(self, step: int) -> None:
        """Complete the row of a step."""
        row = self._row()
        held = [tensor for layer in self._layers for tensor in (*layer.statistics(), *layer.affine())]
        _join(held, row[2 * self._channels :])
        self._count(1)
        self._steps.append(step)
        self._frozen.append([layer.is_frozen for layer in self._layers])
        if len(self._steps) > self._limit:
            self._thin()

    def end_epoch(self, step: int) -> None:
        """Have a row of an epoch's last step; if it wasn't due, nobody knows its batch's statistics: they are NaN."""
        self._ends.add(step)
        if self._steps[-1] != step:
            self.before()
            self.after(step)

    def state(self) -> dict[str, Any]:
        """Everything so far, as a tree of plain values and tensors."""
        rows = len(self._steps)
        return {
            "every": self._every,
            "limit": self._limit,
            "ends": self._ends,
            "rows": self._rows[:rows],
            "counts": self._counts[:, :rows],
            "steps": self._steps,
            "frozen": self._frozen,
            "population": [{path: astuple(found) for path, found in moments.items()} for moments in self._population],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._every, self._limit, self._ends = state["every"], state["limit"], state["ends"]
        self._steps, self._frozen = state["steps"], state["frozen"]
        self._population = [
            {path: Moments(*found) for path, found in moments.items()} for moments in state["population"]
        ]
        rows = len(self._steps)
        self._rows = self._rows.new_empty(self._limit + 1, 6 * self._channels)
        self._counts = self._counts.new_zeros(2, self._limit + 1, len(self._layers))
        self._rows[:rows], self._counts[:, :rows] = state["rows"], state["counts"]

    def _row(self) -> Tensor:
        device = self._layers[0].statistics()[0].device
        if self._rows.device != device:  # the network was moved
            self._rows, self._counts = self._rows.to(device), self._counts.to(device)
        return self._rows[len(self._steps)]

    def _count(self, place: int) -> None:
        counts = self._counts[place, len(self._steps)]
        _join([layer.counter()[None] for layer in self._layers], counts)

    def add_population(self, moments: Mapping[str, Moments]) -> None:
        """Note the precise statistics at the end of an epoch."""
        self._population.append(moments)

    def recording(self) -> NormRecording:
        """Everything so far, as arrays."""
        rows = self._rows[: len(self._steps)].cpu().to(torch.float64)
        steps = torch.tensor(self._steps)[:, None]
        before, after = torch.split(rows, [2 * self._channels, 4 * self._channels], dim=1)
        layers = {}
        start = 0
        counts, updates = self._updates()
        for place, layer in enumerate(self._layers):
            width = layer.channels
            old_mean, old_var = torch.split(before[:, 2 * start : 2 * (start + width)], width, dim=1)
            mean, var, gamma, beta = torch.split(after[:, 4 * start : 4 * (start + width)], width, dim=1)
            batches = zip(counts[:, place].tolist(), updates[:, place].tolist(), strict=True)
            share = torch.tensor([layer.share(before, more) for before, more in batches], dtype=torch.float64)[:, None]
            share = torch.where((steps > 0) & (share > 0), share, torch.nan)
            values = (mean, var, old_mean + (mean - old_mean) / share, old_var + (var - old_var) / share, gamma, beta)
            layers[layer.path] = {
                quantity: value.to(torch.float32).numpy()
                for quantity, value in zip(NormRecording.QUANTITIES, values, strict=True)
            }
            start += width
        return NormRecording(tuple(self._steps), layers, self._population_arrays())

    def _updates(self) -> tuple[Tensor, Tensor]:
        """(rows, layers) each: batches that the running statistics held before the step, and updates in it.

        A layer that does not count its batches is taken to be updated once per step, unless it is frozen.
        """
        before, after = self._counts[:, : len(self._steps)].cpu()
        updates = after - before
        uncounted = (updates == 0).all(0) & ~torch.tensor(self._frozen)
        return before, updates + uncounted

    def _population_arrays(self) -> dict[str, dict[str, Array]]:
        def column(path: str, quantity: str) -> Array:
            values = [getattr(moments[path], quantity) for moments in self._population]
            array: Array = torch.stack(values).to(torch.float32).numpy()
            return array

        first, *others = self._population or [{}]
        paths = [path for path in first if all(path in moments for moments in others)]
        return {path: {quantity: column(path, quantity) for quantity in ("mean", "variance")} for path in paths}

    def _thin(self) -> None:
        if 2 * len(self._ends) > self._limit:
            self._limit *= 2
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
            self._counts = torch.cat([self._counts, torch.zeros_like(self._counts)], dim=1)
            return
        kept: list[int] = []
        while not kept or len(kept) == len(self._steps):
            self._every *= 2
            kept = [index for index, step in enumerate(self._steps) if self.due(step)]
        self._rows[: len(kept)] = self._rows[kept]
        self._counts[:, : len(kept)] = self._counts[:, kept]
        self._steps = [self._steps[index] for index in kept]
        self._frozen = [self._frozen[index] for index in kept]


def _join(tensors: Sequence[Tensor], out: Tensor) -> None:
    """Write vectors one behind the other, wherever they lie."""
    if any(tensor.device != out.device for tensor in tensors):
        tensors = [tensor.to(out.device) for tensor in tensors]
    torch.cat([*tensors], out=out)
