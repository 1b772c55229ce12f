"""The diagram in a real browser: it draws what Python draws, and does what the reader asks."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archlab.records import Trace
from archlab.reports.diagram import render, save
from archlab.reports.diagram.page import document
from archlab.reports.diagram.views import DIRECTIONS
from tests.reports.diagrams import dense, failed, layer, residual, stack, tall, trace
from tests.reports.test_diagram_drawing import HOSTILE, hostile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium


class Reader:
    """A page with a diagram, and what went wrong in it."""

    def __init__(self, browser: "Browser", html: str, width: int = 1280) -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 800})
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("dialog", lambda dialog: self.problems.append(dialog.message))
        self.page.route("**", lambda route: self.problems.append(route.request.url))
        self.page.set_content(html)

    def shown(self) -> list[str]:
        return self.page.locator("[data-node]").locator(".title, .symbol").all_text_contents()

    def node(self, title: str) -> Any:
        return self.page.locator("[data-node]", has=self.page.locator(f"text.title:text-is('{title}')")).last

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.querySelector?.('.title, .symbol')?.textContent ?? ''"))

    def until(self, expression: str) -> None:
        """Wait for what is scrolled or zoomed; the page's policy keeps Playwright's own waiting out."""
        for _ in range(200):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(10)
        raise AssertionError(expression)

    def card(self) -> str:
        return str(self.page.locator(".diagram-card").inner_text())


@pytest.fixture
def read(browser: "Browser") -> Iterator[Any]:
    readers: list[Reader] = []

    def start(network: Trace, table: bool = False, width: int = 1280, **choices: Any) -> Reader:
        html = document(render(network, **{"depth": 1, **choices}))
        if table:
            rows = "".join(f'<tr data-path="{row.path}"><th>{row.path}</th></tr>' for row in network.layers)
            html = html.replace("</main>", f"{'<p>.</p>' * 100}<table>{rows}</table></main>")
        readers.append(Reader(browser, html, width))
        return readers[-1]

    yield start
    for reader in readers:
        assert reader.problems == []
        reader.page.close()


def elements(svg: str) -> list[tuple[str, str, str]]:
    """Tag, class with geometry, and text of everything in a drawing; numbers to a tenth."""
    found = []
    for element in ElementTree.fromstring(svg).iter():
        tag = element.tag.rpartition("}")[2]
        names = ("class", "d", "x", "y", "width", "height", "rx", "transform")
        values = " ".join(element.get(name, "") for name in names if tag != "svg")
        rounded = re.sub(r"-?\d+\.?\d*", lambda number: f"{float(number[0]) + 0:.1f}", values)
        found.append((tag, rounded, element.text or ""))
    return found


NETWORKS = {
    "stack": stack(12),
    "dense": dense(12),
    "hostile": hostile(),
    "failed": failed(),
    "tall": tall(),
    "repeated": trace(*(layer(f"fc.{place}", 1, [place - 1], parameters=72) for place in range(3))),
    "three": trace(
        *(layer(f"l{place}", 1, [-1 - place]) for place in range(3)),
        layer("cat", 1, [0, 1, 2], "cat", operation=True),
        inputs=3,
    ),
}


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("depth", [1, None])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_browser_draws_what_python_draws(read: Any, name: str, depth: int | None, direction: str) -> None:
    network = NETWORKS[name]
    html = render(network, depth=depth, direction=direction).html
    (expected,) = re.findall(r'<svg class="diagram-drawing".*?</svg>', html)
    reader = read(network, depth=depth, direction=direction)
    drawn = reader.page.evaluate("new XMLSerializer().serializeToString(document.querySelector('.diagram-view > svg'))")
    assert elements(drawn) == elements(expected)


def test_a_click_opens_a_block_and_closes_it_again(read: Any) -> None:
    reader = read(stack(2))
    closed = reader.shown()
    reader.node("blocks.0–1").click()
    assert [title for title in reader.shown() if title not in closed] == ["BatchNorm2d", "ReLU", "+"]
    reader.node("blocks.0–1").click(position={"x": 60, "y": 12})
    assert reader.shown() == closed


def test_a_click_into_an_open_block_leaves_it_open(read: Any) -> None:
    reader = read(stack(2))
    reader.node("blocks.0–1").click()
    reader.node("blocks.0–1").click(position={"x": 8, "y": 200})
    assert reader.page.locator("[aria-expanded=true]").count() == 1


def test_opening_keeps_the_block_where_it_is(read: Any) -> None:
    reader = read(stack(2))
    before = reader.node("blocks.0–1").bounding_box()
    reader.node("blocks.0–1").click()
    assert abs(reader.node("blocks.0–1").bounding_box()["y"] - before["y"]) < 1


def test_search_finds_inside_closed_blocks(read: Any) -> None:
    reader = read(stack(3))
    field = reader.page.locator("input[name=search]")
    field.fill("conv_")
    assert reader.page.locator(".diagram-status").inner_text() == "1 of 2: blocks.0.conv_1"
    field.press("Enter")
    assert reader.page.locator(".diagram-status").inner_text() == "2 of 2: blocks.0.conv_2"
    assert reader.page.locator(".is-found").count() == 2
    field.fill("nowhere")
    assert reader.page.locator(".diagram-status").inner_text() == "Nothing found"


def test_search_finds_what_a_repeat_stands_for(read: Any) -> None:
    reader = read(stack(3))
    reader.page.locator("input[name=search]").fill("blocks.2.norm")
    assert reader.page.locator(".diagram-status").inner_text() == "1 of 1: blocks.0.norm"


def test_search_finds_a_part_of_a_path_in_any_repeat(read: Any) -> None:
    reader = read(stack(12))
    field = reader.page.locator("input[name=search]")
    field.fill("blocks.7.conv")
    assert reader.page.locator(".diagram-status").inner_text() == "1 of 2: blocks.0.conv_1"
    field.fill("blocks.7")
    assert reader.page.locator(".diagram-status").inner_text() == "1 of 1: blocks.0"


def test_search_closes_what_only_an_earlier_letter_found(read: Any) -> None:
    reader = read(stack(3))
    field = reader.page.locator("input[name=search]")
    field.fill("norm")
    assert reader.page.locator("[aria-expanded=true]").count() == 1
    field.fill("stem")
    assert reader.page.locator("[aria-expanded=true]").count() == 0
    field.fill("norm")
    field.press("Escape")
    assert reader.page.locator("[aria-expanded=true]").count() == 1
    assert reader.page.locator(".is-found").count() == 0
    assert reader.focused() == "BatchNorm2d"


def test_open_all_opens_every_level(read: Any) -> None:
    rows = [layer("a", 1, kind="A"), layer("a.b", 2, kind="B"), layer("a.b.c", 3, kind="C"), layer("a.b.c.d", 4, [-1])]
    reader = read(trace(*rows))
    reader.page.locator("[data-action=open]").click()
    assert reader.shown() == ["a", "b", "c", "Linear"]
    reader.page.locator("[data-action=close]").click()
    assert reader.shown() == ["a"]


def test_a_large_drawing_holds_what_is_near(read: Any) -> None:
    rows = [layer("stem", 1, [-1], "Conv2d")]
    for number in range(200):
        rows += residual(f"block_{'a' * number}", 1, len(rows), len(rows) - 1)
    reader = read(trace(*rows))
    reader.page.locator("[data-action=open]").click()
    few = reader.page.locator("[data-node]").count()
    assert 5 < few < 100
    reader.page.locator("[data-node][tabindex='0']").focus()
    keys = reader.page.keyboard
    keys.press("End")
    assert reader.focused() == "+"
    assert reader.card().splitlines()[1].strip().endswith("a.add")
    keys.press("ArrowUp")
    assert reader.focused() == "Conv2d"
    reader.page.evaluate("document.querySelector('.diagram-view').scrollTop = 40000")
    reader.until("document.querySelectorAll('[data-node]').length > 3")
    middle = "document.elementFromPoint(...(r => [r.left + r.width / 2, r.top + r.height / 2])"
    middle += "(document.querySelector('.diagram-view').getBoundingClientRect())).closest('[data-node]') !== null"
    reader.until(middle)
    assert reader.page.locator("[data-node]").count() < 150
    field = reader.page.locator("input[name=search]")
    field.fill("aaaaa.norm")
    assert reader.page.locator(".diagram-status").inner_text().startswith("1 of 195: block_aaaaa.norm")
    assert reader.page.locator(".is-found").count() >= 1


def test_a_failure_is_marked_and_told(read: Any) -> None:
    reader = read(failed())
    assert "fails at head.fc" not in reader.page.locator("svg").first.text_content()
    spoken = reader.node("Linear").get_attribute("aria-label")
    assert "failed: given 8 features (1x8); expected 5" in spoken
    reader.page.locator("[data-action=close]").click()
    assert "fails at head.fc" in reader.node("head").get_attribute("aria-label")
    assert reader.page.locator("text.shape.is-failed").text_content() == "fails at head.fc"
    reader.node("head").hover()
    assert "in_features=8 would fit" in reader.card()


def test_escape_closes_and_focus_shows_the_row(read: Any) -> None:
    reader = read(stack(2))
    keys = reader.page.keyboard
    reader.page.locator("[data-action=fit]").focus()
    keys.press("Tab")
    assert reader.page.evaluate("document.activeElement.getAttribute('role')") == "treeitem"
    assert reader.card().splitlines()[1].strip() == "stem"
    keys.press("ArrowDown")
    keys.press(" ")
    keys.press("ArrowRight")
    keys.press("Escape")
    assert reader.page.locator("[aria-expanded=true]").count() == 0
    assert reader.focused() == "blocks.0–1"


def test_keys(read: Any) -> None:
    reader = read(stack(2))
    keys = reader.page.keyboard
    reader.page.locator("[data-node][tabindex='0']").focus()
    assert reader.focused() == "Conv2d"
    keys.press("ArrowDown")
    assert reader.focused() == "blocks.0–1"
    keys.press("ArrowRight")
    assert reader.page.locator("[aria-expanded=true]").count() == 1
    keys.press("ArrowRight")
    assert reader.card().splitlines()[1].strip() == "blocks.0.conv_1"
    keys.press("End")
    assert reader.focused() == "Linear"
    keys.press("Home")
    keys.press("ArrowDown")
    keys.press("Enter")
    assert reader.page.locator("[aria-expanded=true]").count() == 0
    assert reader.focused() == "blocks.0–1"
    keys.press("/")
    assert reader.page.evaluate("document.activeElement.name") == "search"


def test_one_node_takes_the_tab_key(read: Any) -> None:
    reader = read(stack(2), depth=None)
    assert reader.page.locator("[data-node][tabindex='0']").count() == 1


def test_hovering_shows_the_row(read: Any) -> None:
    reader = read(stack(2))
    reader.node("Linear").hover()
    assert re.findall(r"parameters\s+72", reader.card())


def test_a_layer_leads_to_its_row_and_back(read: Any) -> None:
    reader = read(stack(2), table=True)
    reader.node("Linear").click()
    assert reader.page.evaluate("document.activeElement.dataset.path") == "head"
    assert reader.page.evaluate("scrollY") > 1000
    reader.page.locator("tr[data-path='blocks.1.relu'] th").click()
    assert reader.focused() == "ReLU"
    assert reader.page.evaluate("scrollY") < 1000


def test_the_page_can_take_the_way_to_the_row_over(read: Any) -> None:
    reader = read(stack(2), table=True)
    reader.page.evaluate(
        "document.addEventListener('archlab:show-row', (e) => { e.preventDefault(); window.asked = e.detail; })"
    )
    reader.node("Linear").click()
    assert reader.page.evaluate("window.asked") == {"path": "head", "diagram": "diagram"}
    assert reader.page.evaluate("scrollY") == 0
    reader.page.evaluate(
        "document.dispatchEvent(new CustomEvent('archlab:show-node', {detail: {path: 'blocks.0.add'}}))"
    )
    assert reader.focused() == "+"


def test_colours_and_their_legend(read: Any) -> None:
    reader = read(trace(*residual("a", 1, 0, -1, 10), layer("b", 1, [5], parameters=1000)))
    assert reader.page.locator(".diagram-legend li").all_inner_texts() == [
        "block, opens",
        "linear",
        "a tensor, its shape beside it",
    ]
    reader.page.locator("select[name=colour]").select_option("parameters")
    assert reader.page.locator(".diagram-legend li").all_inner_texts() == [
        "up to 26",
        "400 to 1,000",
        "a tensor, its shape beside it",
    ]
    assert "is-step-5" in reader.node("Linear").get_attribute("class")


def test_a_plain_wheel_scrolls_the_page_and_ctrl_zooms(read: Any) -> None:
    reader = read(stack(2), table=True, depth=None)
    view = reader.page.locator(".diagram-view")
    view.hover()
    width = view.locator("svg").bounding_box()["width"]
    reader.page.mouse.wheel(0, 300)
    reader.until("scrollY >= 300")
    assert view.locator("svg").bounding_box()["width"] == width
    reader.page.evaluate("scrollTo(0, 0)")
    view.hover()
    reader.page.keyboard.down("Control")
    reader.page.mouse.wheel(0, -300)
    reader.page.keyboard.up("Control")
    reader.until(f"document.querySelector('.diagram-view > svg').clientWidth > {1.5 * width}")


def test_dragging_pans_and_opens_nothing(read: Any) -> None:
    reader = read(stack(2), depth=None)
    box = reader.node("blocks.0–1").bounding_box()
    mouse = reader.page.mouse
    mouse.move(box["x"] + 60, box["y"] + 10)
    mouse.down()
    mouse.move(box["x"] + 60, box["y"] - 40, steps=5)
    mouse.up()
    assert abs(reader.node("blocks.0–1").bounding_box()["y"] - (box["y"] - 50)) < 2
    assert reader.page.locator("[aria-expanded=true]").count() == 1


@pytest.mark.parametrize("width", [375, 1440])
def test_nothing_scrolls_sideways(read: Any, width: int) -> None:
    reader = read(stack(12), depth=None, width=width)
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    smallest = reader.page.eval_on_selector_all(
        "[data-node] text", "all => Math.min(...all.map(e => e.getBoundingClientRect().height))"
    )
    assert smallest >= 9


def test_labels_stay_inside_their_boxes(read: Any) -> None:
    names = ("W" * 40, "blocks.0", "a_rather_long_name_of_a_layer")
    reader = read(
        trace(*(layer(name, 1, [place - 1], "InstanceNorm2dWithAVeryLongName") for place, name in enumerate(names)))
    )
    wide = reader.page.eval_on_selector_all(
        "[data-node]",
        "all => all.filter(e => [...e.querySelectorAll('text')].some("
        "t => t.getBoundingClientRect().width > e.querySelector('.box').getBoundingClientRect().width)).length",
    )
    assert wide <= 1  # forty W are wider than anything that is reckoned with


def test_names_run_nothing(read: Any) -> None:
    reader = read(hostile(), depth=None)
    reader.page.locator("[data-node]").last.hover()
    assert "alert(1)" in reader.card()
    assert HOSTILE[:8] in reader.card()


def test_a_png_is_a_picture(browser: "Browser", tmp_path: Path) -> None:
    content = save(tmp_path / "net.png", stack(3)).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    assert (width > 600, height > 600) == (True, True)
