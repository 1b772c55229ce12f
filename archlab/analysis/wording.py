"""Numbers in sentences, for texts of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archlab.records import TrainingConfig
from archlab.records.settings import settings

if TYPE_CHECKING:
    from archlab.records import Layer, Value, VariantResult


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "run"), counted(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def left_out(variant: VariantResult) -> list[str]:
    """How many runs of a variant are in no mean, by why: `1 of 6 runs diverged`."""
    kinds = ((variant.diverged, "diverged"), (variant.failed, "failed"))
    return [f"{count} of {counted(variant.ended, 'run')} {word}" for count, word in kinds if count]


def spoken_time(seconds: float) -> str:
    """A time as people say it.

    >>> spoken_time(7260)
    '2.0 hours'
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def p_text(value: float) -> str:
    """A p value, the same in every table, sentence and picture.

    >>> p_text(0.0213), p_text(1.6e-11)
    ('0.021', '<0.001')
    """
    return "<0.001" if value < 0.0005 else f"{value:.3f}"


def p_statement(value: float) -> str:
    """A p value in a sentence.

    >>> p_statement(0.0213), p_statement(1.6e-11)
    ('p = 0.021', 'p < 0.001')
    """
    text = p_text(value)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def range_text(values: Sequence[float], form: str) -> str:
    """One number, or the least and the greatest of several.

    >>> range_text([0.674, 0.641, 0.65], ".2f")
    '0.64 to 0.67'
    """
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def shape_text(shape: Sequence[int | float]) -> str:
    """A shape as the command line takes it: `1x64x48x48`.

    >>> shape_text((1, 64, 48, 48))
    '1x64x48x48'
    """
    return "x".join(map(str, shape)) or "scalar"


def layer_text(layer: Layer) -> str:
    """A layer as papers write it: kernel, channels, stride, and what else is not as usual; empty for other kinds.

    A padding is said where windows overlap and it doesn't keep the kernel's centre on the map.

    >>> from archlab.records import Layer, Window
    >>> stem = Window((7, 7), (2, 2), ((3, 3), (3, 3)), (1, 1), 1)
    >>> layer_text(Layer("conv", "Conv2d", 1, ((1, 3, 224, 224),), ((1, 64, 112, 112),), window=stem))
    '7x7, 64, /2'
    >>> layer_text(Layer("fc", "Linear", 1, ((1, 512),), ((1, 10),)))
    '512 -> 10'
    """
    window = layer.window
    if window is None:
        if layer.kind.lower() not in ("linear", "lazylinear"):
            return ""
        shapes = [*layer.input_shapes[:1], *layer.output_shapes[:1]]
        if len(shapes) != 2 or not all(shapes):
            return ""
        return f"{shapes[0][-1]} -> {shapes[1][-1]}"
    parts = [shape_text(window.kernel)]
    if window.groups is not None and layer.output_shapes and len(layer.output_shapes[0]) > len(window.kernel):
        parts.append(str(layer.output_shapes[0][-1 - len(window.kernel)]))
    if set(window.stride) != {1}:
        stride = axes_text(window.stride)
        parts.append(f"up {stride}" if window.transposed else f"/{stride}")
    if set(window.dilation) != {1}:
        parts.append(f"dilation {axes_text(window.dilation)}")
    if window.groups not in (None, 1):
        parts.append(f"groups {window.groups}")
    wide = [step * (size - 1) for size, step in zip(window.kernel, window.dilation, strict=True)]
    centred = all(sum(pad) // 2 == size // 2 for size, pad in zip(wide, window.padding, strict=True))
    apart = window.kernel == window.stride and not any(map(sum, window.padding))
    if window.groups is not None and not window.transposed and not centred and not apart:
        parts.append(f"padding {padding_text(window.padding)}")
    return ", ".join(parts)


def axes_text(sizes: Sequence[int]) -> str:
    """A number per axis, equal ones once.

    >>> axes_text((2, 2)), axes_text((2, 1))
    ('2', '2x1')
    """
    return shape_text(sizes[:1] if len(set(sizes)) == 1 else sizes)


def padding_text(padding: Sequence[tuple[int, int]]) -> str:
    """What is put around a map, per axis, equal axes once; before and after where they differ.

    >>> padding_text(((1, 1), (1, 1))), padding_text(((0, 1), (0, 1))), padding_text(((3, 3), (0, 0)))
    ('1', '0+1', '3x0')
    """
    texts = [str(before) if before == after else f"{before}+{after}" for before, after in padding]
    return "x".join(texts[:1] if len(set(texts)) == 1 else texts)


def assigned(name: str, value: Value | None) -> str:
    """A setting and its value as variants are called: `lr=0.001`.

    >>> assigned("learning_rate", 1e-3)
    'lr=0.001'
    """
    known = settings(TrainingConfig).get(name)
    called = known.name if known else name
    return f"{called}={value:g}" if isinstance(value, float) else f"{called}={value}"
