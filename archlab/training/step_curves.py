"""What each step of a training gave, on the device, so that no step waits for a number."""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


class StepCurves:
    """Loss, accuracy and learning rate by step; NaN where nothing was told.

    Args:
        device: where losses lie.
        steps: for how many there is room at first.
    """

    def __init__(self, device: torch.device, steps: int = 1024) -> None:
        self._values = torch.full((2, max(1, steps)), torch.nan, device=device)
        self._rates = array("d")
        self._told = bytearray()  # 1 for a step whose loss is known

    def __len__(self) -> int:
        return len(self._rates)

    @property
    def losses(self) -> Tensor:
        """(steps,) on the device; what is written into it is kept."""
        return self._values[0, : len(self)]

    @property
    def accuracies(self) -> Tensor:
        """(steps,) on the device; what is written into it is kept."""
        return self._values[1, : len(self)]

    def add(self, loss: Tensor | float | None = None, *, rate: float = math.nan) -> None:
        """Note the next step."""
        if len(self) == self._values.shape[1]:
            self._values = torch.cat([self._values, torch.full_like(self._values, torch.nan)], dim=1)
        self._rates.append(rate)
        self._told.append(0)
        self.tell(len(self), loss)

    def tell(self, step: int, loss: Tensor | float | None, accuracy: Tensor | float | None = None) -> None:
        """Note what the step of that number, from 1, gave."""
        for row, value in enumerate((loss, accuracy)):
            if isinstance(value, Tensor):
                if value.device != self._values.device and value.device.type != "cpu":
                    self._values = self._values.to(value.device)
                self._values[row, step - 1] = value.detach()
            elif value is not None:
                self._values[row, step - 1] = value
        self._told[step - 1] = self._told[step - 1] or loss is not None

    def told(self) -> Array:
        """(steps,) whether a step's loss was told."""
        return np.frombuffer(bytes(self._told), dtype=np.bool_)

    def arrays(self, since: int = 0) -> dict[str, Array]:
        """Arrays `step`, `train_loss`, `train_accuracy` and `learning_rate`. Waits for the device.

        Args:
            since: how many of the first steps to leave out.
        """
        losses, accuracies = self._values[:, since : len(self)].cpu().numpy().copy()
        return {
            "step": torch.arange(since + 1, len(self) + 1).numpy(),
            "train_loss": losses,
            "train_accuracy": accuracies,
            "learning_rate": torch.tensor(list(self._rates[since:]), dtype=torch.float32).numpy(),
        }
