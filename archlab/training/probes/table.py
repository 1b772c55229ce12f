"""Numbers of layers, look by look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archlab.records import LayerSeries


class LayerTable:
    """Rows of numbers of layers, look by look. They stay on the device until they are asked for."""

    def __init__(self, quantities: Sequence[str]) -> None:
        self._quantities = quantities
        self._looks: list[tuple[int, list[str], Tensor]] = []

    def add(self, step: int, rows: Mapping[str, Sequence[Tensor]]) -> None:
        """Add a look, if it saw anything: of each layer its quantities, 0-dimensional."""
        if rows:
            device = next(iter(rows.values()))[0].device  # layers may lie on several
            stacked = torch.stack([torch.stack([value.to(device) for value in row]) for row in rows.values()])
            self._looks.append((step, list(rows), stacked))

    @property
    def steps(self) -> list[int]:
        """Of its looks."""
        return [step for step, *_ in self._looks]

    def halve(self) -> None:
        """Drop every second look, but for the last."""
        self._looks = [*self._looks[:-1:2], self._looks[-1]]

    def state(self) -> list[Any]:
        """Everything so far, as a tree of plain values and tensors."""
        return [list(look) for look in self._looks]

    def restore(self, state: Sequence[Any], device: torch.device) -> None:
        """Go on from there."""
        self._looks = [(step, names, values.to(device)) for step, names, values in state]

    def series(self, images: int, weighted: Set[str]) -> LayerSeries | None:
        """Everything so far; a layer that wasn't there in some look has NaN. None where there is nothing."""
        if not self._looks:
            return None
        names = list(dict.fromkeys(name for _, seen, _ in self._looks for name in seen))
        values = torch.full((len(self._looks), len(names), len(self._quantities)), torch.nan)
        for place, (_, seen, found) in enumerate(self._looks):
            values[place, [names.index(name) for name in seen]] = found.to("cpu", torch.float32)
        return LayerSeries(
            steps=tuple(step for step, *_ in self._looks),
            layers=tuple(names),
            quantities={name: values[:, :, place].numpy() for place, name in enumerate(self._quantities)},
            images=images,
            weighted=np.array([name in weighted for name in names]),
        )
