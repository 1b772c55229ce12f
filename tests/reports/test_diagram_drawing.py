"""The SVG text, the colours, and the pages."""

import json
import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise

import pytest

from archlab.errors import InputError
from archlab.records import ReceptiveField, Trace, Weight, Window
from archlab.reports import resources
from archlab.reports.diagram import embedded_data, render, svg
from archlab.reports.diagram.colour import COLOURS, category, scheme
from archlab.reports.diagram.node import FACTS
from archlab.reports.diagram.page import document
from archlab.reports.diagram.views import DIRECTIONS, opened, view
from tests.reports.diagrams import dense, failed, layer, residual, stack, tall, trace

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e&amp;]]>"


def nodes(text: str) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(text)
    return [element for element in root.iter(f"{SVG}g") if "node" in element.get("class", "").split()]


def texts(text: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(text).iter(f"{SVG}text")]


def test_a_residual_block_is_recognisable() -> None:
    text = svg(trace(*residual("block", 1, 0, -1), network="course"), only="block")
    written = texts(text)
    assert written[0] == "course: block (Residual)"
    order = ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "+"]
    assert [entry for entry in written if entry in order] == order
    assert text.count('class="wire is-skip"') == 2  # the line, and its key
    assert {"input", "output", "1×8"} <= set(written)


def test_a_dense_block_is_recognisable() -> None:
    text = svg(dense(4))
    assert text.count('class="bus"') == 2  # the line, and its key
    assert [entry for entry in texts(text) if entry in ("Conv2d", "cat")] == ["Conv2d"] * 4 + ["cat"]


def test_repeats_are_counted() -> None:
    assert {"×12", "blocks.0–11", "Residual"} <= set(texts(svg(stack(12))))


@pytest.mark.parametrize(("depth", "expected"), [(1, 3), (2, 8), (None, 8)])
def test_depth_opens_blocks(depth: int | None, expected: int) -> None:
    assert len(nodes(svg(stack(2), depth=depth))) == expected  # 3 outside, 5 in the one drawn block


def test_the_view_box_is_the_size() -> None:
    root = ElementTree.fromstring(svg(stack(2)))
    assert root.get("viewBox", "").split()[2:] == [root.get("width"), root.get("height")]


def test_a_file_needs_nothing_from_outside() -> None:
    text = svg(stack(2))
    assert "var(" not in text
    assert "light-dark" not in text
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]


def hostile() -> Trace:
    block = layer(HOSTILE, 1, kind=HOSTILE)
    leaf = layer(f"{HOSTILE}.{HOSTILE}", 2, [-1], HOSTILE, detail=HOSTILE, source=HOSTILE, parameters=3)
    record = trace(block, leaf, network=HOSTILE)
    return Trace(HOSTILE, record.inputs, record.layers, record.totals, input_names=(HOSTILE,))


def test_hostile_names_change_nothing() -> None:
    text = svg(hostile(), depth=None)
    assert {element.tag.removeprefix(SVG) for element in ElementTree.fromstring(text).iter()} == {
        element.tag.removeprefix(SVG) for element in ElementTree.fromstring(svg(stack(1), depth=None)).iter()
    }
    fragment = render(hostile(), identifier='a"><b>', depth=None)
    page = document(fragment)
    assert page.count("<script") == 2  # the data and the script itself
    assert page.count("</script") == 2
    assert "<img" not in page
    assert "\u202e" not in page
    assert "<b>" not in embedded_data(fragment, 'a"><b>')


def test_data_survives_its_embedding() -> None:
    fragment = render(hostile())
    text = embedded_data(fragment)
    inside = text[text.index(">") + 1 : text.rindex("<")]
    assert json.loads(inside) == json.loads(json.dumps(fragment.data))


def test_the_page_has_no_handlers_and_a_policy() -> None:
    page = document(render(stack(2)))
    assert "default-src 'none'" in page
    assert not re.search(r"<[^>]+\son\w+=", page[: page.index("<script")])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Conv2d", "convolution"),
        ("ConvTranspose2d", "convolution"),
        ("BatchNorm2d", "normalisation"),
        ("LayerNorm", "normalisation"),
        ("ReLU", "activation"),
        ("GELU", "activation"),
        ("sigmoid", "activation"),
        ("AdaptiveAvgPool2d", "pooling"),
        ("Linear", "linear"),
        ("matmul", "linear"),
        ("scaled_dot_product_attention", "attention"),
        ("LSTM", "recurrent"),
        ("GRU", "recurrent"),
        ("Embedding", "embedding"),
        ("Parameter", "embedding"),
        ("add", "joint"),
        ("__iadd__", "joint"),
        ("cat", "joint"),
        ("Flatten", "other"),
        ("Dropout", "other"),
    ],
)
def test_categories(kind: str, expected: str) -> None:
    assert category(layer("x", 1, kind=kind), block=False) == expected


def test_a_failure_is_marked_at_its_layer_and_the_blocks_around_it() -> None:
    text = svg(failed())  # opened down to it, whatever the depth
    marked = [node for node in nodes(text) if "is-failed" in node.get("class", "")]
    assert [node.find(f"{SVG}text").text for node in marked] == ["head", "Linear"]  # type: ignore[union-attr]
    assert all(node.find(f"{SVG}circle") is not None for node in marked)  # a shape and not a colour alone
    assert "failed: given 8 features (1x8); expected 5" in texts(text)
    notice = "The forward pass failed at head.fc (Linear): given 8 features (1x8); expected 5; in_features=8 would fit."
    assert " ".join(element for element in texts(text) if element in notice and " " in element) == notice
    assert notice in view(failed()).description
    assert notice in document(render(failed()))


def test_a_failure_shows_on_a_closed_block() -> None:
    (_, head) = view(failed()).root.children
    assert (head.failed, head.label) == (True, "fails at head.fc")
    assert (head.facts[2], head.children[1].facts[2]) == (
        "head.fc: given 8 features (1x8); expected 5; in_features=8 would fit",
    ) * 2


def test_a_failure_elsewhere_is_not_told_of() -> None:
    assert "failed" not in svg(failed(), only="stem").partition("</style>")[2]
    cut = failed().to_depth(1)
    assert [node.label for node in view(cut).root.children] == ["1×8", "fails at head.fc"]
    own = failed("")
    assert not any(node.failed for node in view(own).root.walk())
    assert "failed at the network itself: given 8 features" in view(own).description


@pytest.mark.parametrize(
    ("name", "expected"),
    [("fc.{}", "fc.0–2"), ("branch7x7_{}", "branch7x7_0–2"), ("layer1{}", "layer10–12")],
)
def test_a_series_is_named_from_its_first_to_its_last_number(name: str, expected: str) -> None:
    (node,) = view(trace(*(layer(name.format(k), 1, [k - 1], parameters=72) for k in range(3)))).root.children
    assert (node.subtitle, node.badge) == (expected, "×3")


def test_a_repeated_layer_says_how_often() -> None:
    text = svg(trace(*(layer(f"fc.{place}", 1, [place - 1], parameters=72) for place in range(3))))
    assert [entry for entry in texts(text) if entry in ("Linear", "fc.0–2", "×3")] == ["Linear", "fc.0–2", "×3"]
    again = [layer("cell", 1, [place - 1], parameters=72, call=2, calls=3) for place in range(2)]
    assert "cell (call 2 of 3)" in texts(svg(trace(*again)))


def test_numbers_are_coloured_by_steps() -> None:
    network = trace(*(layer(f"l{place}", 1, parameters=10**place if place else 0) for place in range(6)))
    found = scheme(network, "parameters", [False] * 6)
    assert found.styles == ("is-step-0", "is-step-1", "is-step-2", "is-step-3", "is-step-4", "is-step-5")
    assert [key.text for key in found.legend][:3] == ["0", "up to 64", "64 to 400"]


def test_what_was_not_measured_is_told_from_nothing() -> None:
    field = ReceptiveField((7, 7), (2, 2), "exact")
    network = trace(layer("a", 1, [-1], saved_bytes=0), layer("b", 1, [0]), layer("c", 1, [1], receptive_field=field))
    assert scheme(network, "saved", [False] * 3).styles == ("is-step-0", "is-unknown", "is-unknown")
    assert scheme(network, "receptive-field", [False] * 3).styles == ("is-unknown", "is-unknown", "is-step-1")


def test_the_whole_input_is_the_largest_receptive_field() -> None:
    fields = [ReceptiveField((3,), (1,), "exact"), ReceptiveField((900,), (1,), "upper bound")]
    fields.append(ReceptiveField((224,), (0,), "whole input"))
    found = scheme(trace(*(layer("a", 1, receptive_field=field) for field in fields)), "receptive-field", [False] * 3)
    assert found.styles == ("is-step-1", "is-step-5", "is-step-5")
    assert found.legend[-1].text == "290 to 900, or the whole input"


@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_can_be_drawn(colour: str) -> None:
    assert len(nodes(svg(stack(3), depth=1, colour=colour))) == 3


def test_an_unknown_colour_is_refused() -> None:
    with pytest.raises(InputError, match="can't be coloured by 'flops'; expected one of kind, parameters, macs"):
        svg(stack(1), colour="flops")


def test_only_measured_colours_are_offered() -> None:
    assert list(render(stack(1)).data["schemes"]) == ["kind", "parameters", "macs"]


def test_the_card_lists_equal_shapes_once() -> None:
    shapes = ((1, 64), (1, 32), (1, 32), (1, 32), (1, 64))
    (node,) = view(trace(layer("cat", 1, [-1], "cat", input_shapes=shapes))).root.children
    assert node.facts[3] == "1×64, 1×32 (3 times), 1×64"


def test_the_card_holds_the_row_of_the_table() -> None:
    network = trace(layer("fc", 1, [-1], parameters=1234, macs=5678, detail="no bias", call=2, calls=3))
    (node,) = view(network).root.children
    assert node.facts[:8] == ("fc", "Linear", "", "1×8", "1×8", "1,234", "5,678", "no bias")
    assert "2 of 3" in node.facts
    assert node.subtitle == "fc (call 2 of 3)"


def test_the_description_says_what_is_drawn() -> None:
    assert view(stack(2)).description == (
        "Diagram of stack: 72 parameters, 0 MACs, 8 layers drawn. In order: Conv2d, blocks.0–1, Linear."
    )


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_what_is_written_can_be_read(theme: int) -> None:
    pairs = re.findall(r"--diagram-([\w-]+): light-dark\((#\w+), (#\w+)\)", resources.asset("diagram.css"))
    colours = {name: values[theme] for name, *values in pairs}
    filled = [name for name in colours if f"{name}-line" in colours] + [f"step-{step}" for step in range(6)]
    assert len(filled) == 18  # eleven categories, the frame of an open block, six steps
    for name in filled:
        assert contrast(colours["text"], colours[name]) >= 4.5, name
        if name not in ("step-3", "step-4", "step-5"):  # there the second line is in the first one's colour
            assert contrast(colours["muted"], colours[name]) >= 4.5, name
    assert contrast(colours["muted"], colours["paper"]) >= 4.5
    assert contrast(colours["failed"], colours["paper"]) >= 4.5
    assert contrast(colours["failed"], colours["frame"]) >= 4.5
    assert contrast(colours["badge-text"], colours["badge"]) >= 4.5
    assert contrast(colours["joint-line"], colours["joint"]) >= 4.5


def keys(text: str) -> list[str]:
    """The lines of a file's legend."""
    root = ElementTree.fromstring(text)
    groups = [element for element in root.iter(f"{SVG}g") if "key" in element.get("class", "").split()]
    return [group.find(f"{SVG}text").text or "" for group in groups]  # type: ignore[union-attr]


def test_every_line_and_colour_is_in_the_legend() -> None:
    assert keys(svg(stack(2), depth=None)) == [
        "normalisation",
        "activation",
        "convolution",
        "linear",
        "joins (add, cat, ...)",
        "a tensor, its shape beside it",
        "skip connection: bypasses layers",
        "open block",
        "×N: N equal layers, drawn once",
    ]
    assert "dense connections: each takes all before" in keys(svg(dense(4)))
    assert {"the forward pass failed here", "never called"} <= {
        *keys(svg(failed())),
        *keys(svg(trace(layer("a", 1, [-1]), layer("b", 1, call=0)))),
    }


def test_only_skip_connections_are_blue() -> None:
    gate = trace(
        layer("gate", 1, [-1], macs=64), layer("sigmoid", 1, [0]), layer("mul", 1, [-1, 1], "mul", operation=True)
    )
    (line,) = [line for line in view(gate).scene(lambda node: False).connectors if len(line.corners) > 2]
    assert not line.skip
    assert "is-skip" not in svg(gate).partition("</style>")[2]


def test_an_addition_with_a_parameter_shows_it() -> None:
    weights = (Weight("position", (1, 8)),)
    rows = [layer("add", 1, [-1], "add", operation=True, parameters=8, weights=weights)]
    (node,) = view(trace(*rows)).root.children
    assert node.symbol == "+ position 1×8"
    assert "+ position 1×8" in texts(svg(trace(*rows)))
    (plain,) = view(trace(layer("add", 1, [-1], "add", operation=True))).root.children
    assert plain.symbol == "+"


def test_a_repeat_says_what_is_of_one_and_what_of_all() -> None:
    rows = [layer("stem", 1, [-1], "Conv2d")]
    for number in range(12):
        rows.append(layer(f"h.{number}", 1, kind="Block", parameters=50_000))
        rows.append(layer(f"h.{number}.fc", 2, [len(rows) - 2], parameters=50_000, macs=64))
    shown = view(trace(*rows)).root.children[1]
    assert (shown.badge, shown.amount) == ("×12", "12 × 50 k parameters")
    facts = [dict(zip(FACTS, node.facts, strict=False)) for node in (shown, *shown.children)]
    assert [fact["parameters"] for fact in facts] == ["600,000 (12 × 50,000)"] * 2
    assert facts[1]["MACs"] == "768 (12 × 64)"
    assert facts[0]["stands for"] == "12 equal blocks, up to h.11"


def test_a_convolution_says_its_kernel() -> None:
    window = Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), 32)
    shapes = {"output_shapes": ((1, 64, 8, 8),), "window": window, "weights": (Weight("weight", (64, 2, 3, 3)),)}
    (node,) = view(trace(layer("conv", 1, [-1], "Conv2d", **shapes))).root.children
    assert (node.title, node.subtitle) == ("Conv2d", "3×3, 64, /2, groups 32: conv")  # too long for the title
    facts = dict(zip(FACTS, node.facts, strict=False))
    assert [facts[name] for name in ("kernel", "stride", "padding", "groups", "weights")] == [
        *("3×3", "2", "1", "32"),
        "weight 64×2×3×3",
    ]


@pytest.mark.parametrize("depth", [1, 2, None])
def test_a_tall_network_fits_a_page(depth: int | None) -> None:
    shown = view(tall(30))
    down, columns = (shown.scene(opened(shown.root, depth), direction) for direction in DIRECTIONS)
    if depth == 1:  # three boxes fit as they are
        assert columns == down
        return
    ratio = (columns.right - columns.left) / columns.height
    assert (down.right - down.left) / down.height < 0.15
    assert 0.4 < ratio < 1.3  # a page of A4 has 0.71
    assert sorted(box.node.number for box in columns.boxes) == sorted(box.node.number for box in down.boxes)
    assert sorted(label.text for label in columns.labels) == sorted(label.text for label in down.labels)
    for one, other in combinations([box for box in columns.boxes if not box.open], 2):
        across = one.x + one.width <= other.x or other.x + other.width <= one.x
        assert across or one.y + one.height <= other.y or other.y + other.height <= one.y
    for line in columns.connectors:
        for (x, y), (to_x, to_y) in pairwise(line.corners):
            assert x == to_x or y == to_y, "a wire runs straight down or sideways"


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(InputError, match="has no direction 'left'; expected one of down, columns"):
        svg(stack(1), direction="left")
