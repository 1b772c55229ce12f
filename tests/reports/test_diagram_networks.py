"""The diagrams of the course's own networks."""

from collections.abc import Iterator

import pytest

import archlab
from archlab.reports.diagram.node import DiagramNode
from archlab.reports.diagram.scene import Scene
from archlab.reports.diagram.views import opened, view

NAMES = ("lenet", "resnet", "densenet", "resnet50", "densenet121", "resnet20", "plain20")


def scene(network: str, only: str | None = None) -> Scene:
    shown = view(archlab.trace(network), only)
    return shown.scene(opened(shown.root, 1))


def written(drawn: Scene) -> list[str]:
    return [box.node.symbol or box.node.title for box in drawn.boxes]


def blocks(root: DiagramNode) -> Iterator[DiagramNode]:
    return (node for node in root.walk() if node.plan)


@pytest.mark.parametrize("name", NAMES)
def test_blocks_need_few_columns(name: str) -> None:
    widest = max(
        len({s.column for s in node.plan.segments}) for node in blocks(view(archlab.trace(name)).root) if node.plan
    )
    assert widest <= 6


def test_the_residual_block_of_the_course() -> None:
    drawn = scene("resnet", "stage_2.0")
    kernels = ["Conv2d 3×3, 128, /2", "Conv2d 3×3, 128", "Conv2d 1×1, 128, /2"]
    norm = "BatchNorm2d"
    assert written(drawn) == [kernels[0], norm, "ReLU", kernels[1], norm, kernels[2], "+", "ReLU"]
    shortcut = next(box for box in drawn.boxes if box.node.path.endswith("shortcut"))
    assert all(box.x + box.width < shortcut.x for box in drawn.boxes if box is not shortcut), (
        "the 1x1 stands beside the rest"
    )


def test_a_residual_block_without_a_convolution_in_its_skip() -> None:
    drawn = scene("resnet", "stage_1.0")
    (skip,) = (line for line in drawn.connectors if line.skip)
    assert max(x for x, _ in skip.corners) > max(box.x + box.width for box in drawn.boxes)


def test_the_dense_block_of_the_course() -> None:
    drawn = scene("densenet", "dense_block_0")
    assert written(drawn) == ["0", "cat", "1", "cat", "2", "cat", "3", "cat"]
    assert [line.skip for line in drawn.connectors].count(True) == 4
    labels = [label.text for label in drawn.labels]
    assert labels[2::2] == ["1×96×24×24", "1×128×24×24", "1×160×24×24", "1×192×24×24"]


def test_the_transition_of_the_course() -> None:
    drawn = scene("densenet", "transition_0")
    assert [title.split()[0] for title in written(drawn)] == ["BatchNorm2d", "ReLU", "Conv2d", "AvgPool2d"]
    assert not any(line.skip for line in drawn.connectors)


def test_two_equal_blocks_are_one() -> None:
    drawn = scene("resnet", "stage_1")
    assert [(box.node.title, box.node.badge) for box in drawn.boxes] == [("0–1", "×2")]
