"""Which channels of a BatchNorm layer come out of the function behind it as nothing but zeros.

The function is the one that is given the layer's output itself: `F.relu(self.norm(x))` or a module that calls it. Where
a sum stands between (the last BatchNorm of a residual branch), the zeros are not that layer's, and nothing is counted.
A layer with the function inside, as `act` (timm's `BatchNormAct2d`), is counted by what it gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CUTTING = ("relu", "relu_", "relu6", "hardtanh", "hardtanh_", "hardswish", "hardswish_", "threshold", "threshold_")
"""Functions that give exact zeros for a range of inputs."""
NOT_NEGATIVE = ("relu", "relu6")
"""Those that give nothing below 0."""


class ZeroCounter(TorchFunctionMode):
    """Counts zeros while it is active, per channel, behind the layers that it listens to.

    Args:
        layers: path -> module.
    """

    def __init__(self, layers: Mapping[str, Any]) -> None:
        super().__init__()
        self._outputs: dict[int, tuple[str, Tensor]] = {}
        self._zeros: dict[str, Tensor] = {}
        self._values: dict[str, int] = {}
        self.functions: dict[str, str] = {}
        """Path -> the function behind the layer."""
        self._handles = [
            module.register_forward_hook(lambda module, _inputs, output, path=path: self._heard(path, module, output))
            for path, module in layers.items()
        ]

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()
        self._outputs.clear()

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name not in CUTTING or not args or id(args[0]) not in self._outputs:
            return func(*args, **(kwargs or {}))
        path, _ = self._outputs.pop(id(args[0]))
        result = func(*args, **(kwargs or {}))
        self._count(path, name.removesuffix("_"), result)
        return result

    def shares(self) -> dict[str, Tensor]:
        """Path -> share of values that were 0, float64 (channels,), of the layers with such a function behind them."""
        return {path: zeros.double().cpu() / self._values[path] for path, zeros in self._zeros.items()}

    def _heard(self, path: str, module: Any, output: object) -> None:
        if not isinstance(output, Tensor) or output.dim() < 2:
            return
        inside = type(getattr(module, "act", None)).__name__.lower()
        if inside in CUTTING:
            self._count(path, inside, output)
            return
        self._outputs[id(output)] = path, output  # held, so that no other tensor gets its number
        for key in [key for key, (known, held) in self._outputs.items() if known == path and held is not output]:
            del self._outputs[key]

    def _count(self, path: str, function: str, result: Tensor) -> None:
        axes = [axis for axis in range(result.dim()) if axis != 1]
        # Counting what is not 0 by signs takes half the time of comparing, and a channel of zeros is exactly 0.
        signs = torch.sign(result) if function in NOT_NEGATIVE else torch.sign(result).abs_()
        values = result.numel() // result.shape[1]
        zeros = values - signs.sum(axes, dtype=torch.float32)
        self._zeros[path] = self._zeros[path] + zeros if path in self._zeros else zeros
        self._values[path] = self._values.get(path, 0) + values
        self.functions[path] = function
