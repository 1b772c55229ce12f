"""A dispatch mode that loads no compiler."""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What sees operations as they are dispatched derives from this.

    torch wraps the `__torch_dispatch__` of any other mode so that `torch.compile` leaves it alone, and the first
    operation in it imports `torch._dynamo` for that: over a second, for some 900 modules. Nothing that is compiled runs
    in ours: a compiled network is traced as the module that it was made from.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
