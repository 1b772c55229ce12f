"""The modules that a node comes from, as far as the file says.

torch's newer exporter writes the paths and classes of the modules around each operation beside the node. Its older one,
like TensorFlow's, writes names of modules into the node's own name: `/layer1/layer1.0/conv1/Conv` is the convolution of
`layer1.0.conv1`. Other files have names without parts, and their graphs are flat.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import onnx

_NAMES, _CLASSES = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"


class Scope(NamedTuple):
    """A module around a node."""

    path: str
    """As `named_modules()` gives it."""
    kind: str = ""
    """Its class with its module (`torch.nn.modules.conv.Conv2d`); empty where the file doesn't say."""


def scopes(node: onnx.NodeProto, weight: str = "") -> tuple[Scope, ...]:
    """The modules around a node, from outside to inside, without the network itself.

    Args:
        node: the node.
        weight: the name of the stored tensor that is its first weight, if any: where a normalisation was folded into a
            convolution, the node is said to come from the normalisation, and its weight still bears the convolution's
            name.
    """
    properties = {item.key: item.value for item in node.metadata_props}
    names, classes = _listed(properties, _NAMES), _listed(properties, _CLASSES)
    if names and len(names) == len(classes):
        inside = [Scope(name, kind) for name, kind in zip(names[1:-1], classes[1:-1], strict=True) if name]
        if inside and node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            owner, _, last = weight.rpartition(".")
            is_sibling = owner.rpartition(".")[0] == inside[-1].path.rpartition(".")[0]
            if last == "weight" and owner != inside[-1].path and is_sibling:
                inside[-1] = Scope(owner)
        return tuple(inside)
    found: list[Scope] = []
    before = ""
    for part in node.name.strip("/").split("/")[:-1]:
        above = found[-1].path if found else ""
        if before and part.startswith(before + "."):  # a child of a container bears the container's name too
            found.append(Scope(above + part[len(before) :]))
        else:
            found.append(Scope(f"{above}.{part}" if above else part))
        before = part
    return tuple(found)


def _listed(properties: Mapping[str, str], key: str) -> list[str]:
    if key not in properties:
        return []
    try:
        value = ast.literal_eval(properties[key])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else []


def is_layer(kind: str) -> bool:
    """Whether a class is one of torch's layers, whose operations are one row, as in a trace of the network."""
    home, _, name = kind.rpartition(".")
    return (
        home.startswith("torch.nn.modules.")
        and not home.endswith((".container", ".transformer"))
        and name != "MultiheadAttention"
    )
