"""What `FlopCounterMode` counts of a network, and why it is not what archlab counts, by sums over the trace's rows.

Each cause is a function of a row: the multiply-accumulates that archlab has there and torch's counter has not. A
difference is explained only if the sums of all causes make it up exactly.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from archlab.formulas import explicit_equation
from archlab.records import Layer, Trace
from archlab.tracing.pytree import convert
from benchmarks.zoo.entry import Inputs


@dataclass(frozen=True, slots=True)
class Counted:
    """What torch's counter says."""

    macs: int
    modules: dict[str, int]
    """By the dotted name of each module, with all that it holds."""
    device: str
    """`meta`, or `cpu` where the network needs values."""


def counted(network: nn.Module, inputs: Inputs) -> Counted:
    """Multiply-accumulates by `FlopCounterMode`; the network's parameters require no gradient afterwards.

    The counter would ask for the gradients of what is made under `torch.no_grad`, and there are none.
    """
    network.requires_grad_(False)
    try:
        return _count(copy.deepcopy(network).to("meta"), convert(inputs, _to_meta), "meta")
    except Exception:  # whatever a network raises that asks for values, or can't be copied
        return _count(network, inputs, "cpu")


def call(network: nn.Module, inputs: Inputs) -> Any:
    """What the network returns."""
    return network(**inputs) if isinstance(inputs, dict) else network(*inputs)


def _to_meta(tensor: Tensor) -> Tensor:
    return tensor.to("meta")


def _count(network: nn.Module, inputs: Inputs, device: str) -> Counted:
    with torch.no_grad(), _counted_kernels(device), FlopCounterMode(display=False) as counter:
        torch.manual_seed(0)
        call(network, inputs)
    names = dict.fromkeys(counter.get_flop_counts(), 0)
    for name, operations in counter.get_flop_counts().items():
        names[name] = sum(operations.values()) // 2
    inside = {name.partition(".")[2]: macs for name, macs in names.items() if name != "Global"}
    return Counted(int(counter.get_total_flops()) // 2, inside, device)


@contextmanager
def _counted_kernels(device: str) -> Iterator[None]:
    """A context in which attention runs as products, since the CPU's fused kernels have no formula in the counter."""
    if device == "meta":
        yield
        return
    was_on = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_on)


# Causes


def _fused(row: Layer, found: Counted) -> int:
    """Of a kernel that is one operation on the CPU: the counter has nothing for the whole module."""
    module = row.path.rpartition(".")[0] if row.operation else row.path
    is_fused = row.kind in ("LSTM", "lstm", "scaled_dot_product_attention")
    return row.macs if found.device == "cpu" and is_fused and not found.modules.get(module, 0) else 0


def _grouped(row: Layer, found: Counted) -> int:
    return row.macs if row.kind in ("grouped_mm", "scaled_grouped_mm") else 0


def _vector(row: Layer, found: Counted) -> int:
    if row.kind in ("mv", "dot", "vdot", "addmv"):
        return row.macs
    if row.kind not in ("matmul", "inner", "linear") or len(row.input_shapes) < 2:
        return 0
    left, right = row.input_shapes[:2]
    return row.macs if len(right) == 1 or (len(left) == 1 and len(right) > 2) else 0


def _pointwise_einsum(row: Layer, found: Counted) -> int:
    """Of an einsum that sums over nothing, or over an axis of size 1: torch multiplies point by point."""
    if row.kind != "einsum" or len(row.input_shapes) != 2:
        return 0
    equation = explicit_equation(row.detail, [len(shape) for shape in row.input_shapes])
    left, _, kept = equation.partition("->")
    sizes: dict[str, int] = {}
    for letters, shape in zip(left.split(","), row.input_shapes, strict=True):
        for letter, size in zip(letters, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    both = set.intersection(*map(set, left.split(",")))
    return row.macs if prod(sizes[letter] for letter in both - set(kept)) == 1 else 0


def _complex(row: Layer, found: Counted) -> int:
    """The counter takes a complex product for one of real numbers, and a complex convolution for torch's three."""
    if not row.dtype.startswith("complex"):
        return 0
    return row.macs // 4 if "onv" in row.kind else row.macs * 3 // 4


def _sparse(row: Layer, found: Counted) -> int:
    """The counter takes a sparse product for a dense one; archlab names it as uncounted."""
    if row.macs or row.kind not in ("matmul", "mm", "spmm", "addmm") or len(row.input_shapes) < 2:
        return 0
    left, right = row.input_shapes[-2:]
    return -prod(left) * right[-1]


def _without_formula(row: Layer, found: Counted) -> int:
    return row.macs if row.kind in ("deform_conv2d", "DeformConv2d", "bilinear", "Bilinear", "conv_tbc") else 0


CAUSES: dict[str, Callable[[Layer, Counted], int]] = {
    "fused kernel: no formula": _fused,
    "grouped product: no formula": _grouped,
    "matrix times vector: no formula": _vector,
    "deformable, bilinear: no formula": _without_formula,
    "einsum run pointwise": _pointwise_einsum,
    "complex product counted as real": _complex,
    "sparse product counted as dense": _sparse,
}
"""What the counter lacks of a row. The first that is not 0 stands."""


def leaves(trace: Trace) -> Iterator[Layer]:
    """The rows that hold no other rows."""
    following = [*(layer.depth for layer in trace.layers[1:]), 0]
    return (layer for layer, depth in zip(trace.layers, following, strict=True) if depth <= layer.depth)


def explained(trace: Trace, found: Counted) -> tuple[int, dict[str, int]]:
    """The difference (archlab's count minus torch's), and the sum of each cause that has one."""
    sums: dict[str, int] = defaultdict(int)
    for row in leaves(trace):
        for cause, missed in CAUSES.items():
            if macs := missed(row, found):
                sums[cause] += macs
                break
    return trace.totals.macs - found.macs, dict(sums)


def places(trace: Trace, found: Counted) -> list[str]:
    """Where the counts differ: the innermost modules, each with both counts and its own operations."""
    ours: dict[str, int] = defaultdict(int)
    operations: dict[str, list[str]] = defaultdict(list)
    for layer in trace.layers:
        if not layer.operation:
            ours[layer.path] += layer.macs
        elif layer.macs:
            operations[layer.path.rpartition(".")[0]].append(f"{layer.kind} {layer.input_shapes}: {layer.macs:,}")
    differ = [path for path, macs in ours.items() if macs != found.modules.get(path, 0)]
    inner = [path for path in differ if not any(other.startswith(f"{path}.") for other in differ)]
    return [
        f"{path}: {ours[path]:,}, by FlopCounterMode {found.modules.get(path, 0):,} {operations[path][:3]}"
        for path in inner
    ]
