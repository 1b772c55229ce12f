"""What the BatchNorm layers hold while they train: a row every k steps, one at each end of an epoch, and the first.

Measuring semantics: row i is the state after the optimiser step `steps[i]`, the running statistics among it; an
epoch starts in the state in which the last one ended, so those rows are the start's too. The batch statistics are what
went into the running ones in that step: the batch variance is unbiased in torch's layers and biased in archlab's own.
They are not computed a second time but solved for from the running statistics before and after the step,
batch = before + (after - before) / share, so their error is float32's rounding of the running value divided by the
share (about 1e-6 of it at 0.1). Row 0 comes before any batch: its batch statistics are NaN.

A layer that averages several batches in a step (gradients are accumulated, two branches call it, checkpointing calls it
again) gives their mean, weighed as its averages weigh them. Its counter says how many they were. For example, two
batches with means 1 and 3 at momentum 0.1 bring a running mean of 0 to 0.1, and on to 0.9 * 0.1 + 0.1 * 3 = 0.39; the
weight of both together is 1 - 0.9^2 = 0.19, and the row has 0.39 / 0.19 = 2.05. In a step in which it averages none,
as while it is frozen, there are none: NaN.

The rows take `ROW_BYTES` bytes at most (or two rows per epoch, where that is more). When they are full, k is doubled
and the rows that no longer fit are dropped, the ends of epochs never.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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
        self._ends: set[int] = set()  # of epochs, where their length isn't known
        self._channels = sum(layer.channels for layer in layers)
        self._width = 6 * self._channels + 2 * len(layers)  # the last are the counters before and after the step
        self._limit = max(ROW_BYTES // (4 * self._width), 2 * ((epochs or 0) + 1))
        if epochs is not None and steps_per_epoch is not None:
            self._limit = min(1 + epochs * (1 + steps_per_epoch // every), self._limit)
        self._rows = torch.empty(self._limit + 1, self._width, device=layers[0].statistics()[0].device)
        self._steps: list[int] = []
        self._population: list[Mapping[str, Moments]] = []
        self._is_spread = False  # whether layers lie on several devices
        self._noted = torch.empty(0)
        self.before()
        self.after(0)

    def due(self, step: int) -> bool:
        """Whether the optimiser step of that number, from 1, gets a row."""
        if self._epoch is None:
            return step % self._every == 0 or step == 1 or step in self._ends
        return step % self._every == 0 or step % self._epoch == 0

    def before(self) -> None:
        """Note the running statistics before a step that is due."""
        self._noted = self._joined([tensor for layer in self._layers for tensor in layer.statistics()])

    def after(self, step: int) -> None:
        """Complete the row of a step."""
        self._add(step, self._noted)

    def end_epoch(self, step: int) -> None:
        """Have a row of an epoch's last step; if it wasn't due, nobody knows its batch's statistics: they are NaN."""
        self._ends.add(step)
        if self._steps[-1] != step:
            self._add(step, torch.full_like(self._noted, torch.nan))

    def add_population(self, moments: Mapping[str, Moments]) -> None:
        """Note the precise statistics at the end of an epoch."""
        self._population.append(moments)

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """Some vectors and the layers' counters as one vector, on the device of the first."""
        counters = [layer.module.num_batches_tracked for layer in self._layers]
        device = tensors[0].device
        if self._is_spread:
            tensors, counters = ([tensor.to(device) for tensor in some] for some in (tensors, counters))
        try:
            return torch.cat([*tensors, torch.stack(counters)])
        except RuntimeError:
            if self._is_spread:
                raise
            self._is_spread = True
            return self._joined(tensors)

    def _add(self, step: int, before: Tensor) -> None:
        held = [tensor for layer in self._layers for tensor in (*layer.statistics(), *layer.affine())]
        after = self._joined(held)
        if self._rows.device != after.device:  # the network was moved
            self._rows = self._rows.to(after.device)
        torch.cat([before.to(after.device), after], out=self._rows[len(self._steps)])
        self._steps.append(step)
        if len(self._steps) > self._limit:
            self._thin()

    def recording(self) -> NormRecording:
        """Everything so far, as arrays; where epochs end by `end_epoch`, without layers that were never updated."""
        rows = self._rows[: len(self._steps)].cpu().to(torch.float64)
        count = len(self._layers)
        parts = torch.split(rows, [2 * self._channels, count, 4 * self._channels, count], dim=1)
        before, counted_before, after, counted_after = parts
        layers = {}
        start = 0
        for place, layer in enumerate(self._layers):
            width = layer.channels
            old_mean, old_var = torch.split(before[:, 2 * start : 2 * (start + width)], width, dim=1)
            mean, var, gamma, beta = torch.split(after[:, 4 * start : 4 * (start + width)], width, dim=1)
            start += width
            batches, earlier = counted_after[:, place].tolist(), counted_before[:, place].tolist()
            if self._epoch is None and len(batches) > 1 and batches[0] == batches[-1]:
                continue
            shares = [
                torch.nan if math.isnan(then) else layer.share(int(now), int(now - then))
                for now, then in zip(batches, earlier, strict=True)
            ]
            share = torch.tensor(shares, dtype=torch.float64)[:, None]
            share = torch.where(share > 0, share, torch.nan)
            values = (mean, var, old_mean + (mean - old_mean) / share, old_var + (var - old_var) / share, gamma, beta)
            layers[layer.path] = {
                quantity: value.to(torch.float32).numpy()
                for quantity, value in zip(NormRecording.QUANTITIES, values, strict=True)
            }
        return NormRecording(tuple(self._steps), layers, self._population_arrays())

    def _population_arrays(self) -> dict[str, dict[str, Array]]:
        def column(path: str, quantity: str) -> Array:
            values = [getattr(moments[path], quantity) for moments in self._population]
            array: Array = torch.stack(values).to(torch.float32).numpy()
            return array

        paths = self._population[0] if self._population else {}
        return {path: {quantity: column(path, quantity) for quantity in ("mean", "variance")} for path in paths}

    def _thin(self) -> None:
        if 2 * len(self._ends) > self._limit:
            self._limit *= 2
            self._rows = torch.cat([self._rows, torch.empty_like(self._rows)])
            return
        kept: list[int] = []
        while not kept or len(kept) == len(self._steps):
            self._every *= 2
            kept = [index for index, step in enumerate(self._steps) if self.due(step)]
        self._rows[: len(kept)] = self._rows[kept]
        self._steps = [self._steps[index] for index in kept]
