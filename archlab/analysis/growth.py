"""The stages of a network: where its channels grow and its maps shrink."""

from __future__ import annotations

from archlab.analysis.folding import Subtree, tree
from archlab.records import Growth, Layer, Stage, Trace


def stages(trace: Trace, depth: int | None = 1) -> Growth:
    """The network's blocks and, between them, runs of layers that give the same shape.

    Args:
        trace: the network.
        depth: how many levels of blocks to open; None for all.
    """
    found: list[Stage] = []
    block = True
    for layer, holds_layers in _cut(tree(trace.layers), depth):
        shape = layer.output_shapes[0][1:] if layer.output_shapes else ()
        if found and not block and not holds_layers and found[-1].shape == shape:
            last = found.pop()
            found.append(
                Stage(
                    (*last.paths, layer.path),
                    (*last.kinds, layer.kind),
                    shape,
                    last.parameters + layer.parameters,
                    last.macs + layer.macs,
                )
            )
        else:
            found.append(Stage((layer.path,), (layer.kind,), shape, layer.parameters, layer.macs))
        block = holds_layers
    return Growth(trace.network, trace.inputs, tuple(found))


def _cut(nodes: list[Subtree], depth: int | None) -> list[tuple[Layer, bool]]:
    """The layers at which the tree is cut, and whether there is more inside each; what never ran is left out."""
    result: list[tuple[Layer, bool]] = []
    for node in nodes:
        if not node.layer.call and not node.children:
            continue
        if node.children and (depth is None or depth > 1):
            result += _cut(node.children, None if depth is None else depth - 1)
        else:
            result.append((node.layer, any(not child.layer.operation for child in node.children)))
    return result
