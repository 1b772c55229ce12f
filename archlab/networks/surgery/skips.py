"""Skip connections switched off: each addition of a residual block gives its branch alone.

Which additions are residual is proven on one run, by the rule that the trace's skip connections have
(`archlab.analysis.skips`): of the two tensors that are added, one bypasses layers by which the other is made of it, or
is a projection of what the other is made of. From then on the block runs in a context that answers this addition, the
n-th of the block's own, with the branch. So what is added needn't be a module, and the block's code stays as it is:

    out = self.bn2(out)
    out += identity             # heard as the block's first addition, and answered with `out` as it was

What is computed for the skip connection alone (a projection) is taken out of the network.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence, Set
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archlab.analysis.skips import JOINS, skip_edges
from archlab.analysis.skips import SUMS as PROVEN
from archlab.errors import InputError
from archlab.networks.surgery.flow import (
    AFFINE,
    PRODUCTS,
    SUMS,
    Flow,
    Step,
    executing,
    function_name,
    observe,
    sum_operands,
)
from archlab.networks.surgery.layers import count, put
from archlab.records import Layer, Totals, Trace, Window
from archlab.records.surgery import Cut, Surgery

Branches = Mapping[int, int]
"""Which addition of a block's own, counted from 0 -> which of its two operands is the branch."""


def skips_off(network: nn.Module, inputs: object) -> tuple[nn.Module, Surgery]:
    """A copy of a network without its residual skip connections, and which these were.

    Args:
        network: any module; it stays as it is.
        inputs: a tensor, a shape as (1, 3, 224, 224), a list of those, or a mapping for keywords.

    Raises:
        InputError: no addition of it can be proven to be a residual one, with the reason; or it doesn't run without
            them.

    >>> from torchvision.models import resnet18
    >>> plain, record = skips_off(resnet18(), (1, 3, 64, 64))
    >>> len(record.done), record.removed
    (8, ('layer2.0.downsample', 'layer3.0.downsample', 'layer4.0.downsample'))
    """
    network = copy.deepcopy(network)
    name = type(network).__name__
    before, paths = count(network), {id(module): path for path, module in network.named_modules()}
    flow = observe(network, inputs)
    edges = skip_edges(_as_trace(flow))
    rows = sorted({row for _, row in edges})
    joined = [row for row in rows if flow.steps[row].name.lower() in JOINS]
    summed = [row for row in rows if re.fullmatch(PROVEN, flow.steps[row].name.lower())]
    found: dict[nn.Module, dict[int, int]] = {}
    cuts = []
    for row in summed:
        step = flow.steps[row]
        place = paths.get(id(step.owner), "") or name
        branch = _branch_of(step, {origin for origin, taker in edges if taker == row})
        if branch is None:
            cuts.append(Cut(place, step.name, reason="it is no sum of a branch and a skip connection alone"))
            continue
        assert step.owner is not None
        found.setdefault(step.owner, {})[step.number] = branch
        cuts.append(Cut(place, step.name, into=f"{_called(flow, step.operands[branch], paths)} alone"))
    if not found:
        raise InputError(f"no skip connection of {name} can be switched off: {_why_none(cuts, joined, flow)}")
    for block, branches in found.items():
        block.forward = WithoutSkips(block, branches)
    removed, notes = _remove_unused(network, flow, inputs, paths)
    if joined:
        notes.append(f"Its {len(joined)} concatenations stay: the layers behind them take all of their channels.")
    return network, Surgery("skip", name, "", tuple(cuts), (), removed, (before, count(network)), tuple(notes))


class _Answering(TorchFunctionMode):
    """A context in which some additions of a block give one of their operands."""

    def __init__(self, block: nn.Module, branches: Branches) -> None:
        super().__init__()
        self._block = block
        self._branches = branches
        self._heard = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function, or answers it."""
        kwargs = kwargs or {}
        name = function_name(func)
        is_sum = name in SUMS and sum_operands(name, args, kwargs) is not None
        if is_sum and executing(sys._getframe(1)) is self._block:
            self._heard += 1
            if self._heard in self._branches:
                return _branch(name, self._branches[self._heard], args, kwargs)
        return func(*args, **kwargs)


def _branch(name: str, which: int, args: Any, kwargs: Any) -> Tensor:
    """What an addition gives without its skip connection."""
    operands = sum_operands(name, args, kwargs)
    assert operands is not None
    branch = operands[which]
    if which == 1 and kwargs.get("alpha", 1) != 1:
        branch = branch * kwargs["alpha"]
    # `x += f(x)` gives x its new value by name; `x.add_(f(x))` is read from the tensor itself.
    return operands[0].copy_(branch) if name == "add_" and which == 1 else branch


class WithoutSkips:
    """Stands in for the `forward` of a block, whose code stays as it is; a copy of the block has a copy of it."""

    def __init__(self, block: nn.Module, branches: Branches) -> None:
        self.block = block
        self.branches = dict(branches)
        self._before = vars(block).get("forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the block gives without the skip connections."""
        with _Answering(self.block, self.branches):
            if self._before is not None:
                return self._before(*args, **kwargs)
            return type(self.block).forward(self.block, *args, **kwargs)


def _branch_of(step: Step, skips: Set[int]) -> int | None:
    """Which operand of an addition is the branch; None where it is none of a branch and a skip connection."""
    if step.owner is None or len(step.operands) != 2:
        return None
    kept = [place for place, origin in enumerate(step.operands) if origin not in skips]
    return kept[0] if len(kept) == 1 else None


def _called(flow: Flow, origin: int, paths: Mapping[int, str]) -> str:
    """What gives a branch, by its path or its function's name."""
    if not 0 <= origin < len(flow.steps):
        return "its other operand"
    step = flow.steps[origin]
    return step.name if step.module is None else paths.get(id(step.module)) or step.name


def _why_none(cuts: Sequence[Cut], joined: Sequence[int], flow: Flow) -> str:
    if cuts:
        return f"of the {cuts[0].kind} in {cuts[0].path}, {cuts[0].reason}"
    if joined:
        return (
            f"its {len(joined)} skip connections are concatenations, and the layers behind them take all of their "
            "channels"
        )
    sums = sum(bool(step.operands) for step in flow.steps)
    if not sums:
        return "it adds nothing to anything"
    return (
        f"of its {sums} additions none is one of a tensor and of what layers made of that tensor, as a residual "
        "block's is (a projection of it counts too)"
    )


def _remove_unused(
    network: nn.Module, flow: Flow, inputs: object, paths: Mapping[int, str]
) -> tuple[tuple[str, ...], list[str]]:
    """Takes out the modules whose results reached the outputs through a skip connection alone; their paths, and notes.

    A projection's result is taken by nothing now. An identity stands in its place, for the code that calls it.
    """
    after = observe(network, inputs)
    unused = _modules_between(flow, flow.reaching()) - _modules_between(after, after.reaching())
    tops = [
        module
        for module in flow.called
        if (leaves := {item for item in module.modules() if item in flow.leaves}) and leaves <= unused
    ]
    inner = {child for module in tops for child in module.modules() if child is not module}
    removed = [module for module in tops if module not in inner and module is not network and count(module)]
    for module in removed:
        put(network, module, nn.Identity())
    notes: list[str] = []
    if removed:
        try:
            observe(network, inputs)
        except InputError as error:
            raise InputError(f"without its skip connections {error}") from error
    if idle := sum(step.parameters for number, step in enumerate(after.steps) if number not in after.reaching()):
        notes.append(f"{idle:,} parameters that blocks hold themselves are used by nothing any more.")
    return tuple(paths[id(module)] for module in removed), notes


def _modules_between(flow: Flow, reaching: Set[int]) -> set[nn.Module]:
    return {module for number in reaching if (module := flow.steps[number].module) is not None}


def _as_trace(flow: Flow) -> Trace:
    """A flow as the rows that the rule of skip connections reads."""
    layers = tuple(
        Layer(
            path="",
            kind=step.name,
            depth=1,
            input_shapes=(),
            output_shapes=step.shapes,
            parameters=step.parameters or (0 if step.module is None else count(step.module)),
            macs=int(step.name in PRODUCTS or isinstance(step.module, (*AFFINE, nn.MultiheadAttention, nn.RNNBase))),
            operation=step.module is None,
            inputs=step.inputs,
            window=_window(step.module),
        )
        for step in flow.steps
    )
    return Trace("", tuple(flow.inputs), layers, Totals(0, 0, 0, 0, 0))


def _window(module: nn.Module | None) -> Window | None:
    if not isinstance(module, AFFINE) or isinstance(module, nn.Linear):
        return None
    return Window(tuple(module.kernel_size), tuple(module.stride), (), tuple(module.dilation))
