"""Layers that can't earn their keep, found in a trace: each with the evidence, a remedy and a source.

*Counting semantics.* Everything follows from the rows: their shapes, parameters, MACs, edges and receptive fields
(trace with `columns=("receptive-field",)`; without them the rules of `pixels`, `coverage` and `taps` say nothing). What
the rows don't tell is not guessed: a rule that can't be sure of a layer is silent on it. What is found is no error of
the network, and may be meant; a rule says what it costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod

from archlab.analysis.wording import counted, shape_text
from archlab.records import Finding, Layer, Trace

HARDWARE_CHANNELS = 8
"""Half-precision matrix units take products in multiples of so many channels (NVIDIA, Tensor Core requirements)."""
MAC_SHARE = 0.01
"""Share of the network's MACs below which a layer's channels don't matter."""
CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d")
PASSING = (*CONVOLUTIONS, "Linear", "ReLU", "relu", "GELU", "gelu", "SiLU", "silu", "Sigmoid", "Flatten", "flatten")
"""Kinds that hand a change of variance on to the next layer."""


def lint(trace: Trace) -> list[Finding]:
    """What was found, rule by rule and layer by layer; nothing where the network is healthy.

    >>> from archlab.records import Totals
    >>> lint(Trace("net", ((1, 8),), (), Totals(0, 0, 0, 0, 0)))
    []
    """
    return [finding for rule in RULES for finding in rule(trace)]


def bias(trace: Trace) -> Iterator[Finding]:
    """Biases right in front of BatchNorm, which takes them off again with the mean.

    Silent where anything else takes the layer's result too. Ioffe and Szegedy 2015, section 3.2.
    """
    followers = _followers(trace)
    for index, layer in _leaves(trace):
        after = [trace.layers[place] for place in followers[index]]
        if _has_bias(layer) and after and all("BatchNorm" in row.kind for row in after):
            yield _found(
                layer,
                f"a bias per channel in front of {after[0].path}, which subtracts the mean and adds a bias of its own",
                "bias=False",
                "Ioffe and Szegedy 2015, section 3.2",
            )


def dropout(trace: Trace) -> Iterator[Finding]:
    """BatchNorm behind dropout: its statistics are those of dropped activations, and evaluation drops none.

    Followed through layers that hand a variance on (`PASSING`), to the next BatchNorm. Li et al. 2019.
    """
    followers = _followers(trace)
    for index, layer in _leaves(trace):
        if not layer.kind.lower().startswith("dropout"):
            continue
        waiting, reached = [*followers[index]], None
        while waiting and reached is None:
            place = waiting.pop()
            row = trace.layers[place]
            if "BatchNorm" in row.kind:
                reached = row
            elif row.kind in PASSING:
                waiting += followers[place]
        if reached is not None:
            yield _found(
                layer,
                f"dropout in front of {reached.path}: in training it normalises dropped activations, whose variance is "
                "larger than in evaluation",
                "put the dropout behind the last BatchNorm",
                "Li et al. 2019, Understanding the disharmony between dropout and batch normalization",
            )


def pixels(trace: Trace) -> Iterator[Finding]:
    """A stride longer than the kernel: positions that no output reads."""
    for _, layer in _leaves(trace):
        window = _window(trace, layer)
        if window is not None and any(stride > kernel for kernel, stride in window):
            kernel, stride = ("x".join(f"{axis[place]:g}" for axis in window) for place in (0, 1))
            read = prod(min(1.0, kernel / stride) for kernel, stride in window)
            yield _found(
                layer,
                f"kernel {kernel}, stride {stride}: {1 - read:.0%} of its input's positions are read by nobody",
                "pool by averages in front of it, or take a kernel as large as the stride",
                "He et al. 2019, Bag of tricks for image classification, section 4",
            )


def coverage(trace: Trace) -> Iterator[Finding]:
    """Convolutions whose input sees the whole image already, and so can't put anything new together.

    Only in a chain: over a skip connection there are shorter paths, for which the receptive field isn't known.
    Richter et al. 2021.
    """
    chained = _chained(trace)
    for place, layer in _leaves(trace):
        image = trace.inputs[0][2:]
        window = _window(trace, layer)
        if window is None or not chained[place] or all(kernel == 1 for kernel, _ in window):
            continue
        field = trace.layers[layer.inputs[0]].receptive_field if layer.inputs[0] >= 0 else None
        if field is not None and all(size >= whole for size, whole in zip(field.size, image, strict=True)):
            yield _found(
                layer,
                f"its input sees {shape_text(field.size)} positions, and the image has {shape_text(image)}",
                "larger images, less downsampling, or fewer layers from here on",
                "Richter et al. 2021, Should you go deeper?",
            )


def taps(trace: Trace) -> Iterator[Finding]:
    """Kernel positions that read padding alone, wherever the kernel lies: a dilation as large as the map, mostly.

    Of a 3x3 kernel with dilation 36 and padding 36, the outer positions lie 36 beside the middle one. On a 33x33 map
    all of them are outside everywhere, and what is left is a 1x1 convolution. Chen et al. 2017, section 3.3.
    """
    for _, layer in _leaves(trace):
        window = _window(trace, layer)
        if window is None:
            continue
        given, made = layer.input_shapes[0][-len(window) :], layer.output_shapes[0][-len(window) :]
        sizes = zip(window, given, made, strict=True)
        if any(_reads_padding_alone(round(kernel), stride, inner, outer) for (kernel, stride), inner, outer in sizes):
            spans = shape_text(tuple(round(kernel) for kernel, _ in window))
            yield _found(
                layer,
                f"its kernel spans {spans} positions, and the outermost of it never meet the {shape_text(given)} of "
                "its input: they read padding alone",
                "a smaller dilation or kernel, larger images, or less downsampling in front of it",
                "Chen et al. 2017, Rethinking atrous convolution for semantic image segmentation, section 3.3",
            )


def _reads_padding_alone(span: int, stride: float, given: int, made: int) -> bool:
    """Whether the first or the last position of a kernel meets the data at none of its places along an axis.

    Position t of the kernel reads i * stride - padding + t at place i of `made`, for data from 0 to `given` - 1. The
    padding in front isn't in the rows: of all that give so many places, each must agree.
    """
    least = (made - 1) * stride + span - given  # in front and behind together; a longer stride leaves some of it open
    first, last = max(0, least // 2), max(0, -(-(least + stride - 1) // 2))
    never_first = first > (made - 1) * stride
    never_last = span - 1 - last >= given
    return span > 1 and (never_first or never_last)


def channels(trace: Trace) -> Iterator[Finding]:
    """Channels that matrix units of accelerators pad, in layers with a hundredth of the MACs or more.

    The network's own input channels and its last layer's outputs can't be chosen, and are left out.
    """
    rows = [(index, layer) for index, layer in _leaves(trace) if layer.kind in (*CONVOLUTIONS, "Linear")]
    own = {shape[axis] for shape in trace.inputs if len(shape) > 1 for axis in (1, -1)}
    for index, layer in rows:
        given = layer.input_shapes[0]
        axis = 1 if layer.kind in CONVOLUTIONS else -1
        inner = [] if given[axis] in own else [given[axis]]
        inner += [layer.output_shapes[0][axis]] if index != rows[-1][0] else []
        odd = [count for count in inner if count % HARDWARE_CHANNELS]
        if odd and layer.macs >= MAC_SHARE * trace.totals.macs > 0:
            yield _found(
                layer,
                f"{' and '.join(map(str, dict.fromkeys(odd)))} channels, with {layer.macs / trace.totals.macs:.0%} of "
                "the MACs: in half precision they are padded",
                f"multiples of {HARDWARE_CHANNELS}",
                "NVIDIA, Deep learning performance documentation: Tensor Core requirements",
            )


def unused(trace: Trace) -> Iterator[Finding]:
    """Layers with parameters that the forward pass never calls."""
    for layer in trace.layers:
        if layer.call == 0 and layer.own_parameters:
            yield _found(
                layer,
                f"{counted(layer.own_parameters, 'parameter')} that the forward pass never takes (as it was traced)",
                "leave it out, or call it",
                "weights without a gradient are stored, sent and saved all the same",
            )


RULES: tuple[Callable[[Trace], Iterator[Finding]], ...] = (bias, dropout, pixels, coverage, taps, channels, unused)


def _found(layer: Layer, evidence: str, remedy: str, source: str) -> Finding:
    return Finding(layer.path, False, f"{evidence}. What to do: {remedy} ({source}).")


def _leaves(trace: Trace) -> Iterator[tuple[int, Layer]]:
    """Rows that are called, with a shape before and behind them, and no rows beneath."""
    for index, layer in enumerate(trace.layers):
        deeper = trace.layers[index + 1].depth > layer.depth if index + 1 < len(trace.layers) else False
        shapes = (*layer.input_shapes[:1], *layer.output_shapes[:1])
        if layer.call and not deeper and layer.output_shapes and len(shapes) > 1 and min(map(len, shapes)) > 1:
            yield index, layer


def _followers(trace: Trace) -> list[list[int]]:
    """For each row those that take its result."""
    found: list[list[int]] = [[] for _ in trace.layers]
    for place, layer in enumerate(trace.layers):
        for origin in {*layer.inputs}:
            if origin >= 0:
                found[origin].append(place)
    return found


def _has_bias(layer: Layer) -> bool:
    """Whether a product has a parameter per output channel besides its weights, which its MACs tell.

    Conv2d(3, 8, 3) gives 27 MACs per output element: 8 * 27 weights are 216 parameters, and 224 with a bias.
    """
    if layer.kind not in (*CONVOLUTIONS, "Linear") or not layer.macs:
        return False
    shape = layer.output_shapes[0]
    outputs = shape[1] if layer.kind in CONVOLUTIONS else shape[-1]
    weights = layer.macs // prod(shape)
    return layer.own_parameters == outputs * (weights + 1)


def _window(trace: Trace, layer: Layer) -> list[tuple[float, float]] | None:
    """Kernel (dilation included) and stride per axis, as the receptive fields before and behind a layer tell them.

    From a field of 11 with jump 4 to one of 19 with jump 8: a kernel of (19 - 11) / 4 + 1 = 3, a stride of 8 / 4 = 2.
    None where there is more than one input, or a field isn't exact.
    """
    after = layer.receptive_field
    if after is None or after.kind == "whole input" or len(layer.inputs) != 1 or layer.kind not in CONVOLUTIONS:
        return None
    origin = layer.inputs[0]
    before = None if origin < 0 else trace.layers[origin].receptive_field
    if origin >= 0 and (before is None or before.kind == "whole input" or not all(before.jump)):
        return None
    sizes = before.size if before else (1,) * len(after.size)
    jumps = before.jump if before else (1,) * len(after.size)
    return [
        ((size - old) / jump + 1, now / jump)
        for size, old, jump, now in zip(after.size, sizes, jumps, after.jump, strict=True)
    ]


def _chained(trace: Trace) -> list[bool]:
    """For each row whether there is one path from the network's input to it; a row comes after those it takes."""
    chained: list[bool] = []
    for place, layer in enumerate(trace.layers):
        origin = layer.inputs[0] if len(layer.inputs) == 1 else place
        chained.append(origin < 0 or (origin < place and chained[origin]))
    return chained
