"""What each step of a training gave, on the device, so that no step waits for a number."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


class StepCurves:
    """Loss, accuracy and learning rate by step; NaN where nothing was told.

    What is told waits in a list until it is read, when it becomes part of a tensor in one call.

    Args:
        device: where losses lie.
        steps: for how many there is room at first.
    """

    def __init__(self, device: torch.device, steps: int = 1024) -> None:
        self._values = torch.full((2, max(1, steps)), torch.nan, device=device)
        self._waiting: tuple[dict[int, Tensor | float], dict[int, Tensor | float]] = {}, {}  # row -> place -> value
        self._rates = array("d")
        self._told = bytearray()  # 1 for a step whose loss is known

    def __len__(self) -> int:
        return len(self._rates)

    @property
    def losses(self) -> Tensor:
        """(steps,) on the device; what is written into it is kept."""
        return self._settled()[0, : len(self)]

    @property
    def accuracies(self) -> Tensor:
        """(steps,) on the device; what is written into it is kept."""
        return self._settled()[1, : len(self)]

    def add(self, loss: Tensor | float | None = None, *, rate: float = math.nan) -> None:
        """Note the next step."""
        self._rates.append(rate)
        self._told.append(0)
        if loss is not None:
            self.tell(len(self), loss)

    def tell(self, step: int, loss: Tensor | float | None, accuracy: Tensor | float | None = None) -> None:
        """Note what the step of that number, from 1, gave: 0-dimensional tensors that nobody changes, or numbers."""
        if loss is not None:
            self._waiting[0][step - 1] = loss.detach() if isinstance(loss, Tensor) else loss
            self._told[step - 1] = 1
        if accuracy is not None:
            self._waiting[1][step - 1] = accuracy.detach() if isinstance(accuracy, Tensor) else accuracy

    def told(self) -> Array:
        """(steps,) whether a step's loss was told."""
        return np.frombuffer(bytes(self._told), dtype=np.bool_)

    def arrays(self, since: int = 0) -> dict[str, Array]:
        """Arrays `step`, `train_loss`, `train_accuracy` and `learning_rate`. Waits for the device.

        Args:
            since: how many of the first steps to leave out.
        """
        losses, accuracies = self._settled()[:, since : len(self)].cpu().numpy().copy()
        return {
            "step": np.arange(since + 1, len(self) + 1),
            "train_loss": losses,
            "train_accuracy": accuracies,
            "learning_rate": np.array(self._rates[since:], dtype=np.float32),
        }

    def state(self) -> dict[str, Any]:
        """Everything so far, as a tree of plain values and tensors."""
        told = torch.from_numpy(self.told().astype(np.uint8))
        rates = torch.tensor(self._rates.tolist(), dtype=torch.float64)
        return {"values": self._settled()[:, : len(self)], "rates": rates, "told": told}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._rates = array("d", state["rates"].tolist())
        self._told = bytearray(state["told"].tolist())
        self._settled()[:, : len(self)] = state["values"].to(self._values.device)

    def _settled(self) -> Tensor:
        """(2, steps and room for more) losses and accuracies, with all that waited."""
        while self._values.shape[1] < len(self):
            self._values = torch.cat([self._values, torch.full_like(self._values, torch.nan)], dim=1)
        for row, waiting in enumerate(self._waiting):
            if not waiting:
                continue
            device = next(
                (value.device for value in waiting.values() if isinstance(value, Tensor)), self._values.device
            )
            if device.type != "cpu" and device != self._values.device:  # the network was moved
                self._values = self._values.to(device)
            values = [torch.as_tensor(value, dtype=torch.float32, device=device) for value in waiting.values()]
            places = torch.tensor(list(waiting), device=self._values.device)
            with torch.no_grad():
                self._values[row].index_copy_(0, places, torch.stack(values).to(self._values.device))
            waiting.clear()
        return self._values
