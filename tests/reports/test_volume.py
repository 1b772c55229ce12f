"""The volume view: which tensors are blocks, and that what is drawn is to scale."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archlab.errors import InputError
from archlab.records import Failure, Shape, Trace
from archlab.reports.volume import draw, save
from archlab.reports.volume.levels import is_u
from archlab.reports.volume.scale import scale_of
from archlab.reports.volume.tensors import tensors
from tests.reports.volumes import dense, gated, network, residual, transformer, u_net

SVG = "{http://www.w3.org/2000/svg}"
EXACT = pytest.approx
ROUNDED = 0.012
"""Two numbers with two digits each, subtracted."""


class Drawn:
    """A block as it stands in the SVG text: the corners of its front, the depth of its side."""

    def __init__(self, element: ElementTree.Element) -> None:
        fronts = [front for front in element.iter(f"{SVG}rect") if front.get("class") == "front"]
        self.bands = [float(front.get("width", "")) for front in fronts]
        self.title = element.findtext(f"{SVG}title") or ""
        self.x, self.y = float(fronts[0].get("x", "")), float(fronts[0].get("y", ""))
        self.width, self.height = sum(self.bands), float(fronts[0].get("height", ""))
        self.channels = int(element.get("data-channels", ""))
        self.map = [int(size) for size in element.get("data-map", "").split("x") if size]
        walls = [wall.get("d", "") for wall in element.iter(f"{SVG}path") if wall.get("class") == "wall"]
        self.depth = float(re.findall(r"l([\d.]+)", walls[0])[0]) if walls else 0.0
        self.styles = [
            body.get("class", "").split()[1] for body in element.iter(f"{SVG}g") if "body" in body.get("class", "")
        ]


def drawn(*traces: Trace) -> tuple[list[Drawn], Drawn, ElementTree.Element]:
    """The blocks of a picture, the block of its key, and the picture."""
    root = ElementTree.fromstring(draw(*traces).svg)
    found = [Drawn(item) for item in root.iter(f"{SVG}g") if item.get("class", "").startswith("volume ")]
    return found[:-1], found[-1], root


def test_what_keeps_a_shape_is_one_block_and_a_shortcut_is_an_arrow() -> None:
    found = tensors(residual())
    assert [tensor.path for tensor in found] == ["input", "stem", "conv_1", "conv_2", "pool", "head"]
    sums = found[3]
    assert sums.sources == (1, 2)  # the stem through the shortcut, and conv_1
    assert sums.skips == (1,)


def test_a_gate_and_a_branch_beside_are_no_skip_connections() -> None:
    found = {tensor.path: tensor for tensor in tensors(gated())}
    order = list(found)
    product, joined = found["mul"], found["right_2"]
    assert [order[source] for source in product.sources] == ["conv", "gate"]
    assert product.skips == ()  # a product
    assert [order[source] for source in joined.sources] == ["left", "right"]
    assert joined.skips == ()  # nothing leads from left to right


def test_what_goes_into_concatenations_alone_is_a_band() -> None:
    found = tensors(dense())
    assert [tensor.path for tensor in found] == ["input", "stem", "cat_0", "cat_1", "cat_2"]
    assert [[band.channels for band in tensor.bands] for tensor in found] == [
        [],
        [],
        [64, 32],
        [64, 32, 32],
        [64, 32, 32, 32],
    ]
    assert [band.style for band in found[-1].bands] == ["is-carried", *["is-convolution"] * 3]


@pytest.mark.parametrize("trace", [dense(), residual(), u_net(), transformer(2)], ids=lambda trace: trace.network)
def test_width_is_channels_and_height_and_depth_the_map(trace: Trace) -> None:
    blocks, key, _ = drawn(trace)
    wide, high = key.width / key.channels, key.height / key.map[0]
    for item in blocks:
        assert item.width == EXACT(wide * item.channels, abs=ROUNDED)
        assert item.height == EXACT(high * (item.map[0] if item.map else 1), abs=ROUNDED)
        assert item.depth == EXACT(0.3 * high * (item.map[1] if len(item.map) > 1 else 0), abs=ROUNDED)


def test_the_front_of_a_block_has_the_area_of_channels_by_rows() -> None:
    blocks, _, _ = drawn(residual())
    stem, conv = blocks[1], blocks[2]
    assert stem.width * stem.height == EXACT(conv.width * conv.height, rel=2e-3)  # 64 * 16 = 128 * 8


def test_a_dense_layer_adds_a_band_of_its_own_width_that_keeps_its_shade() -> None:
    blocks, key, root = drawn(dense())
    wide = key.width / key.channels
    assert blocks[-1].bands == EXACT([wide * size for size in (64, 32, 32, 32)], abs=ROUNDED)
    fronts = [front for front in root.iter(f"{SVG}rect") if front.get("class") == "front"]
    shades = [front.get("fill-opacity") for front in fronts if front.get("fill-opacity")]
    assert shades == ["0.3", "0.3", "0.65", "0.3", "0.65", "1"]  # 0.3 + 0.7 * (0, 1/2, 1)


def test_a_band_looks_the_same_beside_another_network() -> None:
    def opacities(*traces: Trace) -> list[str | None]:
        fronts = drawn(*traces)[2].iter(f"{SVG}rect")
        return [front.get("fill-opacity") for front in fronts if front.get("class") == "front"]

    stem = ("stem", "Conv2d", (1, 8, 16, 16), [-1])
    made = ("conv", "Conv2d", (1, 8, 16, 16), [0])  # row 1, as dense's first layer is
    pair = network("pair", (1, 3, 32, 32), stem, made, ("cat", "cat", (1, 16, 16, 16), [0, 1]))
    assert not any(opacities(pair))  # one part was made for the concatenation
    alone = [shade for shade in opacities(dense()) if shade]
    assert [shade for shade in opacities(dense(), pair) if shade] == alone


def test_a_u_net_is_a_u_with_arrows_straight_across() -> None:
    found = tensors(u_net())
    assert is_u(found)
    assert not is_u(tensors(residual()))
    blocks, _, root = drawn(u_net())
    middle = {item.map[0]: item.y + item.height / 2 for item in blocks}
    assert middle[64] < middle[32] < middle[16]  # down the page
    for item in blocks:
        assert item.y + item.height / 2 == EXACT(middle[item.map[0]], abs=ROUNDED)
    assert all(before.x < after.x for before, after in pairwise(blocks))
    skips = [wire.get("d", "") for wire in root.iter(f"{SVG}path") if wire.get("class") == "wire is-skip"]
    ends = [[tuple(map(float, point.split())) for point in path[1:].split("L")] for path in skips]
    assert len(ends) == 3  # one of them is the key's
    for (_, start), (right, end) in ends[:2]:
        assert start == end
        assert any(item.x == EXACT(right, abs=ROUNDED) and item.title.startswith("cat") for item in blocks)


def test_the_halves_of_a_concatenation_are_what_was_there_and_what_was_made() -> None:
    blocks, _, _ = drawn(u_net())
    joined = next(item for item in blocks if item.title.startswith("cat_1"))
    assert joined.styles == ["is-carried", "is-convolution"]
    assert joined.bands[0] == EXACT(joined.bands[1], abs=ROUNDED)  # 32 + 32
    assert joined.title == "cat_1 (cat): 64 × 32 × 32 = 32 + 32"


def test_equal_blocks_of_a_transformer_are_one_with_its_number() -> None:
    found = tensors(transformer(12))
    assert [(tensor.path, tensor.repeats) for tensor in found] == [
        ("input", 1), ("embed", 1), ("blocks.0.attention", 12), ("blocks.0.up", 12), ("blocks.0.down", 12),
    ]  # fmt: skip
    assert [(tensor.channels, tensor.positions) for tensor in found] == [
        (1, (10,)),
        *[(48, (10,))] * 2,
        (192, (10,)),
        (48, (10,)),
    ]
    assert [tensor.skips for tensor in found] == [(), (), (1,), (), (2,)]
    blocks, _, root = drawn(transformer(12))
    assert not any(item.depth for item in blocks)
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "×12" in texts
    assert "10 tokens" in texts
    assert len(tensors(transformer(5))) == 2 + 3 * 5  # few enough to be drawn each


def test_networks_stand_over_one_axis_on_one_scale() -> None:
    blocks, key, root = drawn(residual(), dense())
    wide = key.width / key.channels
    assert all(item.width == EXACT(wide * item.channels, abs=ROUNDED) for item in blocks)
    maps = [tuple(tensor.positions) for trace in (residual(), dense()) for tensor in tensors(trace)]
    firsts: dict[tuple[int, ...], float] = {}
    for item, size in zip(blocks, maps, strict=True):
        firsts[size] = min(firsts.get(size, item.x), item.x)
    order = sorted(firsts, key=lambda size: firsts[size])
    assert order == [(32, 32), (16, 16), (8, 8), (1, 1), ()]
    spans: dict[tuple[int, ...], list[float]] = {}
    for item, size in zip(blocks, maps, strict=True):
        spans.setdefault(size, []).extend((item.x, item.x + item.width))
    for before, after in combinations(order, 2):
        assert max(spans[before]) < min(spans[after])
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts.count("16 × 16") == 1
    assert {"residual", "dense"} <= set(texts)


def sized(channels: list[int], sizes: list[int]) -> Trace:
    rows = [
        (f"conv_{place}", "Conv2d", (1, count, size, size), [place - 1])
        for place, (count, size) in enumerate(zip(channels, sizes, strict=True))
    ]
    return network("sized", (1, channels[0], sizes[0], sizes[0]), *rows)


def test_sizes_that_span_decades_go_by_the_square_root_and_the_key_says_so() -> None:
    linear, rooted = sized([8, 8, 512], [64, 64, 64]), sized([8, 8, 520], [64, 64, 64])  # 512 = 64 * 8
    assert not scale_of([tensors(linear)]).channels.root
    blocks, key, root = drawn(rooted)
    unit = key.width / key.channels**0.5
    assert [item.width for item in blocks] == EXACT([unit * item.channels**0.5 for item in blocks], rel=1e-2)
    texts = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert "By the square root of the size: width; the rest is to scale" in texts
    said = " ".join(text.text or "" for text in drawn(linear)[2].iter(f"{SVG}text"))
    assert "All to one scale." in said


@given(st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 512)), min_size=1, max_size=12))
def test_no_block_lies_on_another_front_and_nothing_leaves_the_picture(sizes: list[Shape]) -> None:
    channels, maps = [count for count, _ in sizes], sorted((size for _, size in sizes), reverse=True)
    blocks, _, root = drawn(sized(channels, maps))
    _, _, width, height = map(float, root.get("viewBox", "").split())
    moved = [item for item in root if item.get("transform")]
    left, top = map(float, re.findall(r"[\d.]+", moved[0].get("transform", "")))
    for before, after in pairwise(blocks):
        assert before.x + before.width < after.x
    for item in blocks:
        assert item.x + left >= 0
        assert item.y - item.depth + top >= -ROUNDED
        assert item.x + item.width + item.depth + left <= width
        assert item.y + item.height + top <= height


def test_a_depth_that_is_asked_for_is_drawn() -> None:
    assert [(tensor.path, tensor.repeats) for tensor in tensors(transformer(12), depth=1)] == [
        ("input", 1), ("embed", 1), ("blocks.0", 12),
    ]  # fmt: skip
    assert len(tensors(transformer(12), depth=None)) == 2 + 3


def test_an_unknown_layer_is_named() -> None:
    with pytest.raises(InputError, match="has no layer 'stm'"):
        draw(residual(), only="stm")


def test_only_the_inside_of_a_layer() -> None:
    found = tensors(transformer(2), only="blocks.1")
    assert [tensor.path for tensor in found] == ["blocks.0.add_1", "blocks.1.attention", "blocks.1.up", "blocks.1.down"]


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(InputError, match="at least one trace"):
        draw()
    with pytest.raises(InputError, match="dense has no tensor to draw"):
        draw(replace(dense(), layers=()))


def test_a_failure_is_said_in_the_picture_and_names_are_escaped() -> None:
    failure = Failure("head", "Linear", "net.py:7", "8 features", "5", "in_features=8 would fit", "boom")
    svg = draw(replace(residual("<b>&"), failure=failure)).svg
    assert "The forward pass failed at head: given 8 features; expected 5" in svg
    assert "&lt;b&gt;&amp;" in svg
    assert "<b>" not in svg


def test_files_and_notebooks(tmp_path: Path) -> None:
    written = save(tmp_path / "net.svg", u_net())
    picture = draw(u_net())
    assert written.read_text(encoding="utf-8") == picture.svg == picture._repr_svg_()
    assert "light-dark" not in picture.svg
    assert "var(--" not in picture.svg
    assert "prefers-color-scheme: dark" in picture.svg
    with pytest.raises(InputError, match=r"net\.html has an ending .* expected \.svg, \.png"):
        save(tmp_path / "net.html", u_net())


def test_drawing_loads_no_torch() -> None:
    code = "import sys, archlab.reports.volume; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
