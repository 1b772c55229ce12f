"""The page in a real browser: it draws what it should, does what the reader asks, and asks nobody for anything."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archlab.reports import index, save
from tests.reports.samples import CHARTS, experiment, lenet_trace, unlike
from tests.reports.test_page import HOSTILE
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.chromium

SEEDS = 3
NORM = "lenet-on-digits-norm"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    store, comparison = experiment(folder / "store", seeds=SEEDS)
    return save(folder / "report.html", [lenet_trace(), comparison], store=store, command="archlab report")


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1440, theme: Any = "light", **context: Any) -> Iterator[Page]:
    """The page, which must have logged nothing and requested nothing but itself when it is closed."""
    made = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **context)
    shown = made.new_page()
    problems: list[str] = []
    shown.on("pageerror", lambda error: problems.append(str(error)))
    shown.on("console", lambda message: problems.append(message.text))
    shown.on("dialog", lambda dialog: problems.append(dialog.message))
    # A blob is the page's own, as of a picture that it saves.
    own = (path.as_uri(), "blob:null/")
    shown.on("request", lambda request: problems.append(request.url) if not request.url.startswith(own) else None)
    shown.goto(path.as_uri())
    shown.wait_for_selector("html[data-ready=true] body")
    yield shown
    assert problems == []
    made.close()


@pytest.fixture(scope="module")
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report at 1440 pixels in light colours; plotly.js is slow to load, so that many tests share it."""
    with opened(browser, report, accept_downloads=True) as shown:
        shown.wait_for_timeout(300)
        # Charts wait until they come near the window.
        assert shown.locator(f"figure[data-panel='{NORM}'][data-drawn]").count() == 0
        assert draw_all(shown) == CHARTS
        yield shown


def drawn(page: Page, panel: str, chart: str) -> Any:
    """The figure's traces as plotly has them, once it is drawn."""
    selector = f"figure[data-panel='{panel}'][data-chart='{chart}']"
    page.locator(selector).scroll_into_view_if_needed()
    page.wait_for_selector(f"{selector}[data-drawn]")
    return page.evaluate(
        """(selector) => document.querySelector(`${selector} .plot`).data.map((trace) => ({
            name: trace.name, visible: trace.visible ?? true, points: (trace.y ?? trace.labels ?? []).length,
            y: trace.z ? null : Array.from(trace.y ?? []), x: Array.from(trace.x ?? []),
            rows: trace.z ? trace.z.length : 0, columns: trace.z ? trace.z[0].length : 0}))""",
        selector,
    )


def draw_all(page: Page) -> int:
    """The number of figures, after each was scrolled to and drawn."""
    figures = page.locator("figure.chart")
    for place in range(figures.count()):
        figures.nth(place).scroll_into_view_if_needed()
        page.wait_for_selector(f"figure.chart >> nth={place} >> css=.js-plotly-plot .main-svg")
    return figures.count()


def test_traces_and_points(page: Page) -> None:
    loss = drawn(page, "lenet-on-digits-training", "train-loss")
    # Two variants: two edges of the band, the mean, and the seeds, which are hidden at first.
    assert len(loss) == 2 * (3 + SEEDS)
    assert [trace["points"] for trace in loss] == [18] * len(loss)  # 3 epochs of 6 steps
    assert sum(not trace["visible"] for trace in loss) == 2 * SEEDS
    accuracy = drawn(page, "lenet-on-digits-training", "test-accuracy")
    *measured, dashed = accuracy  # the last is the legend's entry for dashed lines, with no point to see
    assert [trace["points"] for trace in measured] == [3] * len(measured)
    assert (dashed["name"], dashed["y"]) == ("evaluation (running statistics)", [None])
    pairs = drawn(page, "lenet-on-digits-differences", "differences")
    assert [trace["points"] for trace in pairs] == [2] * SEEDS + [SEEDS, 1]
    heat = drawn(page, NORM, "heat")[0]
    assert (heat["rows"], heat["columns"]) == (19, 16)  # 18 steps and the start; 16 channels of the worst layer
    tiles = drawn(page, "network-lenet-norm-batch-share", "share")[0]
    assert tiles["points"] == 5  # the network, and its four layers that have parameters
    # Three rows of bars, and entries of the legend for pooling, convolution, linear, other.
    assert len(drawn(page, "network-lenet-norm-batch-growth", "growth")) == 3 + 4


def test_axes_seeds_scale_and_smoothing(page: Page) -> None:
    panel, chart = "lenet-on-digits-training", "train-loss"
    before = drawn(page, panel, chart)
    form = page.locator(f"form[data-panel='{panel}']")
    form.locator("[name=x]").select_option("epoch")
    form.locator("[name=seeds]").check()
    form.locator("[name=scale]").check()
    form.locator("[name=smoothing]").select_option("0.9")
    page.wait_for_selector(f"figure[data-panel='{panel}'][data-chart='{chart}'] >> text=smoothed with weight 0.9")
    after = drawn(page, panel, chart)
    assert all(trace["visible"] for trace in after)
    assert after[2]["x"][-1] == 3
    assert before[2]["x"][-1] == 18
    steps = [abs(b - a) for a, b in zip(after[2]["y"], after[2]["y"][1:], strict=False)]
    assert max(steps) < 0.6 * max(abs(b - a) for a, b in zip(before[2]["y"], before[2]["y"][1:], strict=False))
    kind = page.evaluate(f"document.querySelector(`figure[data-chart='{chart}'] .plot`).layout.yaxis.type")
    assert kind == "log"


def test_layer_channel_and_slider(page: Page) -> None:
    form = page.locator(f"form[data-panel='{NORM}']")
    form.locator("[name=layer]").select_option("norm_1")
    shown = f"document.querySelector(`figure[data-panel='{NORM}'][data-chart='profile-mean'] .plot`).data[0].y.length"
    drawn(page, NORM, "profile-mean")
    wait_until(page, f"{shown} === 6")
    first = drawn(page, NORM, "profile-mean")
    form.locator("[name=layer]").select_option("norm_2")
    form.locator("[name=step]").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    assert form.locator("label:has([name=step]) output").text_content() == "15"
    form.locator("[name=channel]").focus()
    page.keyboard.press("End")
    assert form.locator("label:has([name=channel]) output").text_content() == "15"
    wait_until(page, f"{shown} === 16")
    wait_until(page, "document.querySelector(`figure[data-chart='heat'] .plot`).layout.shapes[1].y0 === 15")
    second = drawn(page, NORM, "profile-mean")
    assert (first[0]["points"], second[0]["points"]) == (6, 16)
    heat = drawn(page, NORM, "heat")[0]
    assert heat["columns"] == 16
    shapes = page.evaluate("document.querySelector(`figure[data-chart='heat'] .plot`).layout.shapes")
    assert (shapes[0]["x0"], shapes[1]["y0"]) == (15, 15)
    line = drawn(page, NORM, "channel-mean")[1]
    assert line["y"][15] == pytest.approx(second[2]["y"][15], rel=1e-6)


def rows(page: Page) -> list[str]:
    return page.locator(".layers tbody th").all_text_contents()


def test_table_sorts_searches_and_opens_depth_and_columns(page: Page) -> None:
    assert rows(page) == ["conv_1", "norm_1", "pool_1", "head"]
    tools = page.locator(".layers .tools")
    tools.locator("[name=depth]").select_option("2")
    assert rows(page) == ["conv_1", "norm_1", "pool_1", "head", "flatten", "linear"]
    parameters = page.locator(".layers thead button", has_text="parameters").first
    parameters.click()
    assert rows(page)[:3] == ["head", "head.linear", "conv_1"]
    assert page.locator(".layers th[aria-sort=descending]").count() == 1
    parameters.click()
    assert rows(page)[-1] in ("head", "head.linear")
    parameters.click()
    assert rows(page)[0] == "conv_1"
    tools.locator("[name=search]").fill("LINEAR")
    assert rows(page) == ["head.linear"]
    tools.locator("summary").click()
    tools.locator("[name=column][value=buffers]").check()
    assert page.locator(".layers thead th:visible", has_text="buffers").count() == 1
    assert page.locator(".layers tbody tr").first.locator("td").count() == 6
    assert tools.locator(".status").text_content() == "1 of 6 rows"


def test_a_layer_of_the_diagram_shows_its_row(page: Page) -> None:
    page.evaluate(
        """document.querySelector("figure.diagram").dispatchEvent(new CustomEvent("archlab:show-row",
        {bubbles: true, cancelable: true, detail: {path: "head.linear"}}))"""
    )
    assert page.locator(".layers tr.shown th").text_content() == "linear"


def test_data_buttons_give_csv(page: Page) -> None:
    page.locator(f"form[data-panel='{NORM}'] [name=layer]").select_option("norm_1")  # of 6 channels
    training = page.locator("form[data-panel='lenet-on-digits-training']")
    for name, value in (("x", "step"), ("smoothing", "0")):
        training.locator(f"[name={name}]").select_option(value)
    figures = ("growth", "share", "train-loss", "outcome", "differences", "heat", "fan", "momentum")
    # Not all of them: a browser asks before it takes more than ten files in a row.
    buttons = [".layers button.data", *(f"figure[data-chart={name}] button.data" for name in figures)]
    tables = {}
    for button in buttons:
        with page.expect_download() as download:
            page.locator(button).click()
        text = Path(download.value.path()).read_text(encoding="utf-8")
        tables[download.value.suggested_filename] = list(csv.reader(io.StringIO(text)))
    assert len(tables) == len(buttons)
    assert all(len({len(row) for row in table}) == 1 for table in tables.values())
    layers = tables["network-lenet-norm-batch.csv"]
    assert layers[0][:2] == ["layer", "kind"]
    assert [row[0] for row in layers[1:]] == ["conv_1", "norm_1", "pool_1", "head", "head.flatten", "head.linear"]
    heat = tables[f"{NORM}-heat.csv"]
    assert len(heat) == 1 + 19 * 6
    outcome = tables["lenet-on-digits-outcome-outcome.csv"]
    assert outcome[0] == ["series", "test accuracy (precise statistics)", "y", "label", "low", "high"]
    assert tables["lenet-on-digits-training-train-loss.csv"][0][1:3] == ["optimiser step", "training loss"]
    assert tables["lenet-on-digits-differences-differences.csv"][0][1:3] == ["x", "y"]  # two pictures beside each other
    assert any(float(low) < float(x) < float(high) for _, x, _, _, low, high in outcome[1:] if low)
    share = tables["network-lenet-norm-batch-share-share.csv"]
    assert ["", "lenet", "2738"] in share


def test_nothing_on_the_page_leads_out_of_it(browser: Browser, report: Path) -> None:
    with opened(browser, report) as shown:  # which fails if anything is requested or logged
        draw_all(shown)
        left: list[str] = []
        shown.context.on("page", lambda other: left.append(other.url))
        addresses = [link.get_attribute("href") or "" for link in shown.locator("a[href]").all()]
        assert {address[:1] for address in addresses} == {"#"}
        for link in shown.locator("a[href]:visible").all():
            link.evaluate("(element) => element.click()")
        buttons = shown.locator(".modebar-btn")
        titles = {button.get_attribute("data-title") for button in buttons.all()}
        assert {"Zoom", "Autoscale"} <= titles
        assert not [title for title in titles if title and "hare" in title]
        for button in buttons.all():
            button.evaluate("(element) => element.click()")
        assert shown.locator(".plotly-cloud-dialog-box").count() == 0
        assert left == []


def test_the_address_keeps_what_is_open_in_a_diagram(browser: Browser, report: Path) -> None:
    with opened(browser, report) as shown:
        node = "#network-lenet-norm-batch-diagram [data-node] >> text=Flatten"
        shown.wait_for_selector(".diagram.is-live")
        before = shown.locator(node).count()
        shown.locator(f".diagram [data-action={'close' if before else 'open'}]").click()
        address = shown.evaluate("location.href")
        assert "#network-lenet-norm-batch-diagram?open=" in address
        other = shown.context.new_page()
        other.goto(address)
        other.wait_for_selector(".diagram.is-live")
        assert other.locator(node).count() == shown.locator(node).count() != before


def test_the_address_keeps_the_theme(browser: Browser, report: Path) -> None:
    with opened(browser, report) as shown:
        shown.locator("#theme").click()
        address = shown.evaluate("location.href")
        assert address.endswith("#?theme=dark")
        other = shown.context.new_page()
        other.goto(address)
        other.wait_for_selector("html[data-ready=true][data-theme=dark]")


def test_pictures_are_saved_as_they_stand(page: Page) -> None:
    for form, start in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as download:
            page.locator(f"figure[data-chart=outcome] button[data-format={form}]").click()
        assert download.value.suggested_filename == f"lenet-on-digits-outcome-outcome.{form}"
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start)
        assert form == "png" or b"of every run after its last epoch" in content


def test_areas_of_tiles_are_shares(page: Page) -> None:
    drawn(page, "network-lenet-norm-batch-share", "share")
    tiles = page.evaluate(
        """() => Array.from(document.querySelectorAll("figure[data-chart=share] g.slice"), (tile) => {
            const box = tile.querySelector("path.surface").getBBox();
            return [tile.__data__.data.data.id, tile.__data__.value, box.width * box.height];
        })"""
    )
    area = {name: drawn_area for name, _, drawn_area in tiles}
    assert len(tiles) == 5
    # The network's area is that of its 2,738 parameters; lines between tiles are drawn on them.
    for _, value, drawn_area in tiles:
        assert drawn_area == pytest.approx(area["root"] * value / 2738, rel=0.02)


def violations(page: Page) -> dict[str, list[str]]:
    """What axe-core holds against the page, where ARCHLAB_AXE names its axe.min.js."""
    path = os.environ.get("ARCHLAB_AXE")
    if not path:
        return {}
    page.evaluate(Path(path).read_text(encoding="utf-8"))
    found = page.evaluate("""axe.run(document, {resultTypes: ["violations"]}).then((result) => result.violations)""")
    return {
        rule["id"]: [node["html"][:120] for node in rule["nodes"]][:3] for rule in found if rule["impact"] != "minor"
    }


@pytest.mark.parametrize(("width", "theme"), [(375, "light"), (1440, "dark")])
def test_widths_and_themes(browser: Browser, report: Path, width: int, theme: str) -> None:
    with opened(browser, report, width=width, theme=theme) as page:
        draw_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("nav ol").first.is_visible() == (width == 1440)
        assert violations(page) == {}
        colours = """[getComputedStyle(document.body).backgroundColor,
            document.querySelector("figure[data-chart=outcome] .plot").layout.font.color]"""
        light, dark = ["rgb(246, 247, 249)", "#1b2026"], ["rgb(18, 22, 27)", "#e6eaee"]
        assert page.evaluate(colours) == (dark if theme == "dark" else light)
        page.locator("#theme").click()
        wait_until(page, f"{colours}.join() === {','.join(light if theme == 'dark' else dark)!r}")
        assert page.locator("#theme").get_attribute("aria-pressed") == str(theme == "light").lower()


def test_axe_finds_nothing(page: Page) -> None:
    if not os.environ.get("ARCHLAB_AXE"):
        pytest.skip("ARCHLAB_AXE does not name axe.min.js (of the npm package axe-core)")
    assert violations(page) == {}


def test_hostile_names_run_nothing_and_look_like_themselves(browser: Browser, tmp_path: Path) -> None:
    names = [f"{place} {name}" for place, name in enumerate(HOSTILE)]
    store, comparison = experiment(tmp_path / "store", seeds=2, variants=(HOSTILE[0], HOSTILE[3]))
    traces = [replace(lenet_trace(name, conv=name, kind=name), options={name: name}) for name in (*names, *HOSTILE)]
    target = save(tmp_path / "report.html", [traces[0], traces[3], comparison], store=store, title=HOSTILE[0])
    with opened(browser, target) as page:
        page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
        draw_all(page)
        assert page.title().startswith(HOSTILE[0])
        assert page.locator("h1").text_content() == HOSTILE[0]
        assert page.locator("main a[href]:not([href^='#'])").count() == 0
        assert page.locator(".plot a").count() == 0
        assert page.locator("main img, main iframe").count() == 0
        legend = page.locator("figure[data-chart='train-loss'] .legendtext").all_text_contents()
        assert HOSTILE[0] in legend


def test_index_page(browser: Browser, tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store")
    target = tmp_path / "index.html"
    target.write_text(index([(comparison, "one.html")], store.runs()), encoding="utf-8")
    for width in (375, 1440):
        with opened(browser, target, width=width) as page:
            assert page.locator(".index svg polyline").count() == 3  # two variants, and chance
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_a_script_the_text_and_the_tables_are_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".findings li").count() >= 2
    assert rows(page) == ["conv_1", "norm_1", "pool_1", "head"]
    assert page.locator("form.controls").first.is_hidden()
    assert page.locator("figure.diagram svg").is_visible()
    context.close()


def test_print_holds_every_chart_in_light_colours(browser: Browser, report: Path) -> None:
    with opened(browser, report, theme="dark") as page:
        page.evaluate("window.print = () => { document.documentElement.dataset.printed = 'true'; }")
        page.locator("#print").click()
        page.wait_for_selector("html[data-printed] body")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"
        assert page.locator("figure.chart[data-drawn]").count() == page.locator("figure.chart").count()
        assert len(page.pdf()) > 50_000
        wait_until(page, "!document.documentElement.dataset.theme")  # dark again, as the system has it
        assert page.locator("#theme").get_attribute("aria-pressed") == "true"


def test_printing_by_the_browser_draws_what_nobody_has_scrolled_to(browser: Browser, report: Path) -> None:
    with opened(browser, report) as shown:
        wait_until(shown, "window.Plotly")
        assert shown.locator("figure.chart[data-drawn]").count() < shown.locator("figure.chart").count()
        shown.pdf()  # as from the browser's menu: the page hears of it, and has no time to wait
        assert shown.locator("figure.chart:not([data-drawn])").count() == 0


def test_a_link_opens_the_part_that_it_leads_to(browser: Browser, tmp_path: Path) -> None:
    path = save(tmp_path / "three.html", [unlike(place) for place in range(3)])
    with opened(browser, path) as shown:
        figure = shown.locator("#network-net2-norm-batch figure.chart").first
        assert not figure.is_visible()
        shown.locator("nav a[href='#network-net2-norm-batch']").click()
        figure.scroll_into_view_if_needed()
        shown.wait_for_selector("#network-net2-norm-batch figure.chart[data-drawn]")
        assert figure.is_visible()
        assert shown.locator("#network-net1-norm-batch figure.chart").first.is_visible() is False


def test_a_verdict_leads_to_its_layer(page: Page) -> None:
    link = page.locator("a[data-layer]").first
    form = page.locator(f"form[data-panel='{NORM}']")
    form.locator("[name=layer]").select_option("norm_2")
    link.click()
    assert form.locator("[name=layer]").input_value() == link.text_content() == "norm_1"
    assert form.locator("[name=run]").input_value() == "norm=batch, seed 0"
    assert page.evaluate("location.hash.split('?')[0]") == f"#{NORM}"
