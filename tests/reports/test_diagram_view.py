"""What a reader sees of a diagram at first, and of a tall one: Fit, columns, search, the table beside it."""

from typing import Any

import pytest

from archlab.reports.diagram import render
from archlab.reports.diagram.page import document
from tests.reports.diagrams import layer, stack, tall, trace
from tests.reports.test_diagram_browser import Reader

pytestmark = pytest.mark.chromium

DRAWN = "document.querySelector('.diagram-view > svg').getBoundingClientRect()"
VIEW = "document.querySelector('.diagram-view').getBoundingClientRect()"


@pytest.fixture
def reader(browser: Any) -> Any:
    opened = Reader(browser, document(render(tall(), depth=None), tall()))
    yield opened
    assert opened.problems == []
    opened.page.close()


def shown(reader: Reader) -> tuple[float, float]:
    """The width and the height of the drawing, as shares of its view's."""
    return tuple(reader.page.evaluate(f"['width', 'height'].map(side => {DRAWN}[side] / {VIEW}[side])"))


def test_fit_shows_a_tall_network_whole_and_wide(reader: Reader) -> None:
    assert shown(reader)[1] > 5, "a column of fourteen blocks is many views high"
    reader.page.locator("[data-action=fit]").click()
    width, height = shown(reader)
    assert width <= 1.001
    assert height <= 1.001
    assert width > 0.5, "no thread in the middle"
    frames = reader.page.locator(".diagram-view .is-open:not([data-node]) text").all_text_contents()
    assert set(frames) <= {"body, continued", *(f"{name}, continued" for name in "abcdefghijklmn")}
    assert "body, continued" in frames
    reader.page.locator("input[name=columns]").uncheck()
    assert reader.page.locator(".diagram-view .is-open:not([data-node])").count() == 0


def test_search_zooms_to_its_hit(reader: Reader) -> None:
    reader.page.locator("[data-action=fit]").click()
    reader.page.locator("input[name=search]").fill("body.k.norm")
    middle = reader.page.evaluate(
        "(() => { const box = document.querySelector('.is-found > .box').getBoundingClientRect();"
        f"const view = {VIEW};"
        "return [box.height, (box.top + box.height / 2 - view.top) / view.height] })()"
    )
    assert middle[0] > 30, "a layer is 36 pixels high where its name can be read"
    assert 0.3 < middle[1] < 0.7


def test_a_slash_on_the_page_searches(reader: Reader) -> None:
    keys = reader.page.keyboard
    reader.page.locator("h1").click()
    keys.press("/")
    assert reader.page.evaluate("document.activeElement.name") == "search"
    keys.press("/")
    assert reader.page.locator("input[name=search]").input_value() == "/", "who writes a slash gets one"


def test_the_table_lies_beside_the_diagram(reader: Reader) -> None:
    rows = reader.page.locator(".diagram-table tbody tr")
    assert rows.count() == len(tall().layers)
    figure, table = (reader.page.locator(name).bounding_box() for name in ("figure.diagram", ".diagram-table"))
    assert table
    assert figure
    assert table["x"] >= figure["x"] + figure["width"]
    reader.node("Linear").click()
    assert reader.page.locator("tr.is-target").get_attribute("data-path") == "head"
    rows.nth(3).locator("th").click()
    assert reader.card().splitlines()[1].strip() == rows.nth(3).get_attribute("data-path")


def test_words_about_the_table_need_a_table(browser: Any) -> None:
    for table, expected in ((None, False), (stack(2), True)):
        reader = Reader(browser, document(render(stack(2)), table))
        assert ("in the table" in reader.page.locator(".diagram-hint").inner_text()) is expected
        reader.node("Linear").hover()
        assert ("Show in the table" in reader.card()) is expected
        reader.page.close()


def test_nothing_is_offered_that_is_not_to_scale(reader: Reader) -> None:
    assert sorted(reader.page.locator(".diagram-bar [name]").evaluate_all("all => all.map(e => e.name)")) == [
        "colour",
        "columns",
        "search",
    ]


def test_the_first_view_opens_the_block_with_the_skip(browser: Any) -> None:
    wrapped = trace(
        layer("model", 1, kind="Model"),
        *(
            layer(
                f"model.{row.path}",
                row.depth + 1,
                [origin + 1 if origin >= 0 else origin for origin in row.inputs],
                row.kind,
                operation=row.operation,
                parameters=row.parameters,
            )
            for row in stack(3).layers
        ),
    )
    reader = Reader(browser, document(render(wrapped)))
    opened = reader.page.locator("[aria-expanded=true]").evaluate_all(
        "all => all.map(e => e.ariaLabel.split(/[ ,]/)[0])"
    )
    assert opened == ["model", "blocks.0–2"]
    reader.page.close()
