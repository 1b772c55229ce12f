"""Two networks side by side: their partners, their colours, and what a reader does to both at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archlab.records import Trace
from archlab.reports.diagram import render_pair, save_pair
from tests.reports.diagrams import layer, residual, stack, trace
from tests.reports.test_diagram_browser import Reader


def network(name: str, *kinds: str, wrapped: bool = False) -> Trace:
    """A stem, a body of blocks, one for each kind, and a head; with a block around all but the head if `wrapped`."""
    prefix, level = ("features.", 2) if wrapped else ("", 1)
    rows = [layer("features", 1, kind="Body")] if wrapped else []
    rows.append(layer(f"{prefix}stem", level, [-1], "Conv2d"))
    for number, kind in enumerate(kinds):
        rows += residual(f"{prefix}{kind}_{number}", level, len(rows), len(rows) - 1)
    rows.append(layer("head", 1, [len(rows) - 1], parameters=72))
    return trace(*rows, network=name)


def styles(data: dict[str, Any]) -> dict[str, str]:
    """The colour of each node by its path."""
    scheme = data["schemes"]["change"]
    return {
        node["facts"][0]: scheme["styles"][style]
        for node, style in zip(data["nodes"], scheme["of"], strict=True)
        if node.get("facts")
    }


def test_both_diagrams_say_what_differs() -> None:
    before, after = (fragment.data for fragment in render_pair(network("a", "x"), network("b", "x", "y")))
    assert {path: style for path, style in styles(before).items() if "." not in path} == {
        "stem": "is-equal",
        "x_0": "is-equal",
        "head": "is-equal",
    }
    assert styles(after)["y_1"] == styles(after)["y_1.add"] == "is-added"
    assert [text for _, text in after["schemes"]["change"]["legend"]] == ["added: only in the second", "equal"]


def test_partners_are_mutual() -> None:
    before, after = (fragment.data for fragment in render_pair(network("a", "x"), network("b", "x", "y", wrapped=True)))
    for one, other in ((before, after), (after, before)):
        for number, partner in enumerate(one["partners"]):
            assert partner == -1 or other["partners"][partner] == number
    paths = [node["facts"][0] if node.get("facts") else "" for node in after["nodes"]]
    found = [paths[partner] for partner in before["partners"] if partner > 0]
    assert found[:2] == ["features.stem", "features.x_0"]


def test_a_series_that_grew_is_changed_and_says_so() -> None:
    before, after = (fragment.data for fragment in render_pair(stack(2), stack(3)))
    assert (styles(before)["blocks.0"], styles(after)["blocks.0"]) == ("is-equal", "is-changed")
    parameters = trace(layer("fc", 1, [-1], parameters=1000)), trace(layer("fc", 1, [-1], parameters=2500))
    (node,) = [node for node in render_pair(*parameters)[0].data["nodes"] if node.get("facts")]
    assert node["facts"][-1] == "changed: parameters 1,000 → 2,500"


@pytest.fixture
def reader(browser: Any, tmp_path: Path) -> Iterator[Reader]:
    path = save_pair(tmp_path / "pair.html", network("a", "x", "z"), network("b", "x", "y", "z", wrapped=True), depth=1)
    opened = Reader(browser, path.read_text(encoding="utf-8"))
    yield opened
    assert opened.problems == []
    opened.page.close()


def tops(reader: Reader, side: str) -> dict[str, float]:
    """How high each box of one side stands, by its title and what is written under it."""
    found = reader.page.locator(f"#pair-{side} [data-node]").evaluate_all(
        "all => all.map(e => [[...e.querySelectorAll('text')].slice(0, 2).map(t => t.textContent).join(' '),"
        "e.querySelector('.box').getBoundingClientRect().top])"
    )
    return dict(found)


@pytest.mark.chromium
def test_partners_stand_at_one_height_and_open_together(reader: Reader) -> None:
    node = reader.page.locator("#pair-after [data-node]", has=reader.page.locator("text:text-is('features')"))
    node.first.click(position={"x": 40, "y": 12})  # what is around the second network's layers alone
    reader.page.locator("#pair-before [data-node]", has=reader.page.locator("text:text-is('z_1')")).first.click()
    before, after = tops(reader, "before"), tops(reader, "after")
    assert "Conv2d conv_1" in before
    assert "Conv2d conv_1" in after, "its partner opened too"
    shared = ["Conv2d stem", "BatchNorm2d norm", "ReLU relu", "Conv2d conv_2", "Linear head"]
    assert [before[name] for name in shared] == pytest.approx([after[name] for name in shared], abs=1.5)


@pytest.mark.chromium
def test_one_scroll_moves_both(reader: Reader) -> None:
    for name in ("before", "after"):
        reader.page.locator(f"#pair-{name} [data-action=open]").click()
    views = "[...document.querySelectorAll('.diagram-view')]"
    reader.page.evaluate(f"{views}[0].scrollTop = 300")
    reader.until(f"{views}[1].scrollTop === 300")
    heights = reader.page.evaluate(f"{views}.map(view => view.scrollHeight)")
    assert heights[0] == heights[1]


@pytest.mark.chromium
def test_both_panels_speak_of_a_pair(reader: Reader) -> None:
    reader.page.locator("#pair-before [data-node]", has=reader.page.locator("text:text-is('head')")).hover()
    cards = reader.page.locator(".diagram-card").all_inner_texts()
    assert [card.splitlines()[1].strip() for card in cards] == ["head", "head"]
    reader.page.locator("#pair-after [data-node]", has=reader.page.locator("text:text-is('features')")).first.hover()
    assert reader.page.locator("#pair-before .diagram-card").inner_text() == "Nothing here belongs to that layer."
