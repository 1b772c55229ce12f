"""The model zoos: torchvision's networks and timm's, without their trained weights."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from torch import nn

from archlab.errors import SourceError, nearest
from archlab.networks.options import Option, Signature, read_signature
from archlab.records import Shape

CLIP_LENGTH = 16
"""Frames of a video, with which torchvision counts its networks' operations."""

_LARGEST_DETECTION = 800
_FLOW_SIZE = (520, 960)
_VIT_SIZE = 224


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A network of a model zoo."""

    factory: Callable[..., nn.Module]
    signature: Signature
    input_shapes: tuple[Shape, ...]
    """Batch 1 first; empty where the zoo doesn't say."""


def zoo_names(zoo: str) -> list[str]:
    """The sources of all networks of a zoo that is installed, `torchvision` or `timm`; none of another."""
    if zoo == "torchvision":
        from torchvision import models

        return [f"torchvision:{name}" for name in models.list_models()]
    if zoo == "timm" and find_spec("timm") is not None:
        import timm

        return [f"timm:{name}" for name in timm.list_models()]
    return []


def holding(name: str) -> list[str]:
    """The sources of the zoos' networks of that name: `torchvision:vgg16` for `vgg16`; empty where there is none."""
    wanted = [f"{zoo}:{name}" for zoo in ("torchvision", "timm")]
    return [source for source in wanted if source in zoo_names(source.partition(":")[0])]


def torchvision_model(name: str) -> ZooModel:
    """A network of torchvision by its name there: classification, detection, segmentation, video, flow or quantised.

    No trained weights are loaded unless they are asked for; the input is the one that the default weights take.

    Raises:
        SourceError: torchvision has no such network, with the nearest names.
    """
    from torchvision import models

    known = models.list_models()
    if name not in known:
        raise SourceError(f"torchvision has no network {name!r}: {nearest(name, known)}")
    builder: Callable[..., nn.Module] = models.get_model_builder(name)
    presets: dict[str, object] = {"weights": None}
    if "weights_backbone" in inspect.signature(builder).parameters:
        presets["weights_backbone"] = None
    if name.removeprefix("quantized_") in ("googlenet", "inception_v3"):
        presets["init_weights"] = True  # what they do without being told, but then they warn

    def factory(**options: object) -> nn.Module:
        return builder(**{**presets, **options})

    signature = _in_brief(read_signature(builder, presets))
    try:
        weights = models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError):  # registered by another package, without weights
        return ZooModel(factory, signature, ())
    shapes = _torchvision_shapes(name, weights.transforms())
    if name.startswith("vit_"):
        # Built without weights they take this size, whatever their best weights were trained with.
        signature = _with(signature, Option("image_size", int, _VIT_SIZE, "height and width of the images"))
        shapes = ((1, 3, _VIT_SIZE, _VIT_SIZE),)
    categories = weights.meta.get("categories")
    if categories and signature.is_open and "num_classes" not in signature.options:
        signature = _with(signature, Option("num_classes", int, len(categories), "outputs"))
    return ZooModel(factory, signature, shapes)


def timm_model(name: str) -> ZooModel:
    """A network of timm by its name there, without trained weights, with the input of its default weights.

    Raises:
        SourceError: timm isn't installed, or has no such network, with the nearest names.
    """
    try:
        import timm
    except ModuleNotFoundError as error:
        if error.name != "timm":
            raise
        raise SourceError(f"timm:{name} needs timm, which isn't installed: pip install 'archlab[timm]'") from error
    if not timm.is_model(name):
        raise SourceError(f"timm has no network {name!r}: {nearest(name, timm.list_models())}")
    known = timm.get_pretrained_cfg(name)
    shape = tuple(known.input_size) if known else (3, 224, 224)

    def factory(**options: Any) -> nn.Module:
        network: nn.Module = timm.create_model(name, **options)
        return network

    signature = _with(
        Signature({}, is_open=True),
        Option(
            "num_classes",
            int,
            known.num_classes if known else 1000,
            "outputs; 0 for the features before the last layer",
        ),
        Option("in_chans", int, shape[0], "channels of the images"),
        Option("pretrained", bool, False, "load trained weights, downloading them"),
    )
    return ZooModel(factory, signature, ((1, *shape),))


def _in_brief(signature: Signature) -> Signature:
    """The options, each meaning cut to its first sentence, without the markup of torchvision's documentation."""
    found = {name: replace(option, help=_first_sentence(option.help)) for name, option in signature.options.items()}
    return replace(signature, options=found)


def _first_sentence(text: str) -> str:
    """The first sentence of a docstring's line.

    >>> _first_sentence("Weights, see :class:`~torch.nn.Linear`. By default none. **kwargs: others")
    'Weights, see Linear.'
    """
    plain = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text.partition(" **kwargs")[0]).replace("`", "")
    return re.split(r"(?<=\.)\s", plain, maxsplit=1)[0]


def _with(signature: Signature, *options: Option) -> Signature:
    return replace(signature, options={**signature.options, **{option.name: option for option in options}})


def _torchvision_shapes(name: str, transforms: object) -> tuple[Shape, ...]:
    kind = type(transforms).__name__
    crop = list(getattr(transforms, "crop_size", ()))
    if kind == "VideoClassification":
        return ((1, 3, CLIP_LENGTH, *_square(crop)),)
    if kind == "SemanticSegmentation":
        return ((1, 3, *_square(list(getattr(transforms, "resize_size", ())))),)
    if kind == "ObjectDetection":
        # Its weights take images of any size: the network resizes them itself, and names tell to what.
        size = re.search(r"(?<!\d)(320|300)(?!\d)", name)
        return ((1, 3, *_square([int(size[0]) if size else _LARGEST_DETECTION])),)
    if kind == "OpticalFlow":
        return ((1, 3, *_FLOW_SIZE), (1, 3, *_FLOW_SIZE))
    return ((1, 3, *_square(crop)),) if crop else ()


def _square(sides: list[int]) -> Shape:
    return (sides[0], sides[-1])


def adapt(shapes: tuple[Shape, ...], options: Mapping[str, object]) -> tuple[Shape, ...]:
    """The zoo's inputs with the channels and the size that options set, by the names that the zoos have for these."""
    channels = options.get("in_chans")
    size = options.get("img_size", options.get("image_size"))
    adapted = []
    for batch, known, *sides in shapes:
        if isinstance(size, int):
            sides = [*sides[:-2], size, size]
        adapted.append((batch, channels if isinstance(channels, int) else known, *sides))
    return tuple(adapted)
