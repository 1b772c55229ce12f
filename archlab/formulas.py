"""What the usual operations cost and give, as pure functions of shapes.

Counting semantics
------------------
MACs are the multiply-accumulates of convolutions, linear layers, matrix products, recurrent layers and attention. A
bias, a residual sum or a scaling is no MAC. A multiply-accumulate of complex numbers is 4 of real ones, since
(a + bi) * (c + di) is four real products that are added; an elementwise operation on complex numbers is one.
`elementwise` counts the arithmetic apart from them:

- activations and pointwise arithmetic: 1 per output element (whatever the function takes inside: an exponential is 1);
- batch and instance normalisation: 2 per element with running statistics (scale, shift), 5 with the batch's own
  (mean, variance, scale, and the affine pair), 4 without the affine pair; layer and group normalisation 5 and 4; RMS
  normalisation 4 (square, mean, scale, weight) and 3;
- softmax: 5 per element (maximum, difference, exponential, sum, quotient);
- pooling by windows: the window's elements for each output element; global and adaptive pooling, and reductions such as
  `mean`: 1 per input element;
- dropout: 2 per element while training (mask, scale), none in evaluation;
- Fourier transforms: 5 N log2 N per transform of N values (the usual count of the radix-2 algorithm; J. Cooley and
  J. Tukey 1965), real ones alike; no MACs;
- interpolation: 1 per output element where it picks the nearest, 2 per neighbour where it mixes several.

Views, copies, indexing, padding, comparisons, random numbers and look-ups (`embedding`) cost nothing. Attention is
counted in full also where it is causal, when half the work would do; the row's `detail` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod
from typing import NamedTuple

from archlab.records import Shape


class Cost(NamedTuple):
    """What one operation takes."""

    macs: int = 0
    """Multiply-accumulates."""
    elementwise: int = 0
    """Arithmetic of normalisation, activation, pooling and pointwise operations."""


FREE = Cost()

SOFTMAX_PER_ELEMENT = 5
DROPOUT_PER_ELEMENT = 2
REAL_MACS_PER_COMPLEX = 4
"""Real multiply-accumulates in a complex one."""


def expand(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """A setting as one number per axis: `3` and `[3]` are `(3, 3)` on two axes."""
    if isinstance(value, int):
        return (value,) * axes
    return tuple(value) if len(value) == axes else tuple(value) * axes


def convolution_shape(
    input: Shape,
    weight: Shape,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Shape:
    """The result's shape of a plain convolution of (N, C, *spatial) with (out, C / groups, *kernel)."""
    spatial = tuple(
        (size + 2 * pad - step * (kernel - 1) - 1) // jump + 1
        for size, kernel, jump, pad, step in zip(input[2:], weight[2:], stride, padding, dilation, strict=True)
    )
    return (input[0], weight[0], *spatial)


def convolution_macs(input: Shape, weight: Shape, output: Shape, *, transposed: bool) -> int:
    """MACs of a convolution: a kernel's worth for each output position, or for each input position if transposed.

    Padding is counted as if it were data. `weight` is (out, in / groups, *kernel), transposed (in, out / groups,
    *kernel), so that groups are in its shape. Shapes may lack the batch.
    """
    axes = len(weight) - 2
    if transposed:
        return prod(input[: -axes - 1]) * prod(input[-axes:]) * prod(weight)
    return prod(output[: -axes - 1]) * prod(output[-axes:]) * prod(weight)


def pooling_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    """The positions that a pooling window takes along one axis."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = -(-span // stride) + 1 if ceil else span // stride + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # the last window would start in the padding beyond the input
    return count


def matmul_shape(left: Shape, right: Shape) -> Shape | None:
    """The shape of `left @ right`, with `torch.matmul`'s broadcasting; None if they don't fit."""
    if not left or not right or left[-1] != right[-2 if len(right) > 1 else -1]:
        return None
    batch = broadcast(left[:-2], right[:-2])
    if batch is None:
        return None
    return batch + left[-2:-1] + (right[-1:] if len(right) > 1 else ())


def matmul_macs(left: Shape, output: Shape) -> int:
    """MACs of a matrix product: the inner length for each element of the result."""
    return left[-1] * prod(output)


def broadcast(*shapes: Shape) -> Shape | None:
    """The common shape of operands that are expanded against each other; None if they don't fit."""
    first = shapes[0]
    for shape in shapes[1:]:
        if shape == first:
            continue
        if len(shape) > len(first):
            first, shape = shape, first
        sizes = list(first)
        for axis in range(-len(shape), 0):
            if sizes[axis] == 1:
                sizes[axis] = shape[axis]
            elif shape[axis] not in (1, sizes[axis]):
                return None
        first = tuple(sizes)
    return first


def attention_macs(query: Shape, key: Shape, value: Shape) -> int:
    """MACs of softmax(Q K^T) V, the full product, causal or not.

    Shapes are (..., length, features). Leading axes follow the query's, so that grouped queries count each head.
    """
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


def attention_elementwise(query: Shape, key: Shape, *, masked: bool) -> int:
    """Scale and softmax of each pair of positions, and the mask's sum where there is one."""
    return prod(query[:-1]) * key[-2] * (1 + SOFTMAX_PER_ELEMENT + masked)


def normalisation(elements: int, *, static: bool = False, affine: bool = True) -> int:
    """Elementwise operations of a normalisation; `static` with statistics that are known."""
    return (2 if static else 5 if affine else 4) * elements


def rms_normalisation(elements: int, *, affine: bool) -> int:
    """Elementwise operations of a root-mean-square normalisation: square, mean, scale, and a weight."""
    return (4 if affine else 3) * elements


def fourier_operations(size: int, transforms: int) -> int:
    """Elementwise operations of Fourier transforms: 5 N log2 N each, rounded.

    >>> fourier_operations(16, 4)  # 4 * 5 * 16 * 4
    1280
    """
    return transforms * round(5 * size * log2(max(1, size)))


def grouped_macs(left: Shape, right: Shape, output: Shape) -> int:
    """MACs of a grouped matrix product, whichever axis the groups are cut from.

    (tokens, K) with (groups, K, N) multiplies each token with the one matrix of its group: tokens * K * N.
    (groups, M, K) with (K, tokens) is its transpose, and (M, tokens) with (tokens, N) sums over the tokens of each
    group apart.
    """
    if len(left) == 2:
        return prod(left) * right[-1]
    return prod(left[-2:]) * right[-1] if len(right) == 2 else left[-1] * prod(output)


def explicit_equation(equation: str, dimensions: Sequence[int]) -> str:
    """An einsum's equation with a letter for each axis, and its result named.

    Args:
        equation: as `torch.einsum` takes it.
        dimensions: how many axes each operand has. Where they don't fit, the equation comes back as it is.

    >>> explicit_equation("...ik, ...kj", [3, 3])
    'Zik,Zkj->Zij'
    """
    given, arrow, kept = equation.replace(" ", "").partition("->")
    operands = given.split(",")
    if len(operands) != len(dimensions):
        return equation
    hidden = [axes - len(operand.replace("...", "")) for operand, axes in zip(operands, dimensions, strict=True)]
    spare = "".join(letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if letter not in equation)
    most = max([count for operand, count in zip(operands, hidden, strict=True) if "..." in operand], default=0)
    if most > len(spare) or min(hidden) < 0:
        return equation
    names = spare[len(spare) - most :]  # operands with fewer such axes lack the first of them
    full = [
        operand.replace("...", names[most - count :] if count else "")
        for operand, count in zip(operands, hidden, strict=True)
    ]
    if not arrow:
        letters = "".join(operands).replace(".", "")
        kept = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return f"{','.join(full)}->{kept.replace('...', names)}"
