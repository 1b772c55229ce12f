"""BatchNorm over training as a film: where it opens, what a click chooses, what moves and where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from archlab.analysis.deviation import worst_channel
from archlab.reports import figures, save
from archlab.store import Store
from tests.reports.samples import experiment, recording
from tests.reports.test_browser import NORM, opened
from tests.reports.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from archlab.records import Comparison, Run

pytestmark = pytest.mark.chromium

PLOT = f"document.querySelector(`figure[data-panel='{NORM}'][data-chart='{{}}'] .plot`)"
HEAT, ACTIVATIONS, ACCURACY = (PLOT.format(name) for name in ("heat", "activations", "accuracy-at-step"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Comparison]:
    return experiment(tmp_path_factory.mktemp("film") / "store", seeds=2)


@pytest.fixture(scope="module")
def report(trained: tuple[Store, Comparison], tmp_path_factory: pytest.TempPathFactory) -> Path:
    store, comparison = trained
    return save(tmp_path_factory.mktemp("page") / "report.html", [comparison], store=store)


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    with opened(browser, report) as shown:
        show(shown)
        yield shown


def show(page: Page) -> None:
    """Wait until the film's charts are drawn."""
    for name in ("heat", "activations", "accuracy-at-step"):
        figure = f"figure[data-panel='{NORM}'][data-chart='{name}']"
        page.locator(figure).scroll_into_view_if_needed()
        page.wait_for_selector(f"{figure}[data-drawn]")


def first_run(store: Store) -> Run:
    """The run of norm=batch and seed 0, whose recording the page shows."""
    return next(run for run in store.runs() if (run.config.variant, run.config.seed) == ("norm=batch", 0))


def said(page: Page, name: str) -> str:
    """What a control shows."""
    control = page.locator(f"form[data-panel='{NORM}'] [name={name}]")
    return str(
        control.input_value() if name in ("run", "layer", "quantity") else control.get_attribute("aria-valuetext")
    )


def test_it_opens_on_the_worst_channel_of_the_worst_layer_at_the_end(
    page: Page, trained: tuple[Store, Comparison]
) -> None:
    run = first_run(trained[0])
    worst = worst_channel(run, recording(18, seed=0))
    assert worst is not None
    assert (said(page, "layer"), said(page, "channel")) == (worst.layer, str(worst.channel))
    assert (said(page, "quantity"), said(page, "step")) == ("ratio", "18")
    shapes = page.evaluate(f"{HEAT}.layout.shapes.map(({{x0, y0}}) => [x0, y0])")
    assert shapes == [[18, 0], [0, worst.channel]]
    assert (
        f"in {worst.layer} of norm=batch, seed 0, where {worst.off} of "
        in page.locator(f"figure[data-panel='{NORM}'][data-chart='heat'] figcaption").inner_text()
    )


def test_the_colours_of_a_deviation_are_fixed_and_symmetric(page: Page) -> None:
    colours = f"(({{zmin, zmax}}) => [zmin, zmax])({HEAT}.data[0])"
    form = page.locator(f"form[data-panel='{NORM}']")
    for layer in ("norm_1", "norm_2"):
        form.locator("[name=layer]").select_option(layer)
        wait_until(page, f"{HEAT}.data[0].y.length === {6 if layer == 'norm_1' else 16}")
        assert page.evaluate(colours) == pytest.approx([-np.log(4), np.log(4)])
    form.locator("[name=quantity]").select_option("shift")
    wait_until(page, f"{HEAT}.data[0].zmax === 1")
    assert page.evaluate(colours) == [-1, 1]


def test_a_click_chooses_channel_and_step(page: Page) -> None:
    place = page.evaluate(
        f"""(({{_fullLayout: {{xaxis, yaxis}}}}, {{left, top}}) =>
            [left + xaxis._offset + xaxis.l2p(7), top + yaxis._offset + yaxis.l2p(3)]
        )({HEAT}, {HEAT}.getBoundingClientRect())"""
    )
    page.mouse.move(*place)
    page.mouse.click(*place)
    wait_until(page, f"{HEAT}.layout.shapes[1].y0 === 3 && {HEAT}.layout.shapes[0].x0 === 7")
    assert (said(page, "channel"), said(page, "step")) == ("3", "7")


def test_activations_are_those_of_the_chosen_channel(page: Page, trained: tuple[Store, Comparison]) -> None:
    store, comparison = trained
    page.locator(f"form[data-panel='{NORM}'] [name=channel]").fill("2")
    page.locator(f"form[data-panel='{NORM}'] [name=step]").fill("12")
    wait_until(page, f"{HEAT}.layout.shapes[1].y0 === 2 && {HEAT}.layout.shapes[0].x0 === 12")
    wait_until(page, f"{ACCURACY}.layout.shapes[0].x0 === 12")
    shown: dict[str, Any] = {"layer": said(page, "layer"), "channel": 2, "step": 12}
    drawn = figures([comparison], store=store, **shown)
    expected = drawn[f"{NORM}-activations"].data[1].y
    # 11 bits of ratio and shift in the page, all of them in Python
    np.testing.assert_allclose(page.evaluate(f"Array.from({ACTIVATIONS}.data[1].y)"), expected, atol=0.01)
    run = first_run(store)
    last = page.evaluate(f"{ACCURACY}.data.filter(({{mode}}) => mode.includes('text')).map(({{x, y}}) => [x[0], y[0]])")
    measured = run.epochs[1]  # epochs end at steps 6, 12, 18
    accuracies = (measured.test_accuracy_running, measured.test_accuracy)
    assert last == [[12, pytest.approx(accuracy, rel=1e-6)] for accuracy in accuracies]


def slow_down(page: Page, times: int) -> None:
    """Let the page's clock go slower, so that a busy machine skips no step that a test waits for."""
    page.evaluate(
        f"() => {{ const now = performance.now.bind(performance); performance.now = () => now() / {times}; }}"
    )


def test_play_moves_the_marker_and_stops_at_the_end(page: Page) -> None:
    page.evaluate(
        f"""() => {{ window.seen = []; {HEAT}.on("plotly_afterplot", () => seen.push({HEAT}.layout.shapes[0].x0)); }}"""
    )
    slow_down(page, 2)
    button = page.get_by_role("button", name="Play the steps")
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause the steps").wait_for()
    page.get_by_role("button", name="Play the steps").wait_for()
    assert said(page, "step") == "18"
    wait_until(page, f"{HEAT}.layout.shapes[0].x0 === 18")
    seen = page.evaluate("seen")
    assert len(set(seen)) > 3
    assert seen == sorted(seen)
    assert seen[-1] == 18


def test_a_pause_leaves_the_marker_where_it_is_and_play_goes_on_from_there(page: Page) -> None:
    slow_down(page, 20)
    page.get_by_role("button", name="Play the steps").click()
    wait_until(page, f"0 < {HEAT}.layout.shapes[0].x0 && {HEAT}.layout.shapes[0].x0 < 18")
    page.get_by_role("button", name="Pause the steps").click()
    page.get_by_role("button", name="Play the steps").wait_for()
    held = int(said(page, "step"))
    assert 0 < held < 18
    wait_until(page, f"{HEAT}.layout.shapes[0].x0 === {held}")
    page.get_by_role("button", name="Play the steps").click()
    wait_until(page, f"{held} < {HEAT}.layout.shapes[0].x0")
    page.locator(f"form[data-panel='{NORM}'] [name=step]").press("ArrowLeft")  # the reader takes over
    page.get_by_role("button", name="Play the steps").wait_for()
    assert held <= int(said(page, "step")) < 18


def test_nothing_moves_by_itself_for_who_wants_no_motion(browser: Browser, report: Path) -> None:
    with opened(browser, report, reduced_motion="reduce") as page:
        show(page)
        button = page.get_by_role("button", name="Next tenth of the steps")
        button.click()
        wait_until(page, f"{HEAT}.layout.shapes[0].x0 === 2")  # from the end to the start, and two of 18 steps on
        page.wait_for_timeout(400)
        assert said(page, "step") == "2"
        button.click()
        wait_until(page, f"{HEAT}.layout.shapes[0].x0 === 4")


def test_the_address_keeps_what_is_chosen(browser: Browser, page: Page, report: Path) -> None:
    form = page.locator(f"form[data-panel='{NORM}']")
    other = {"norm_1": "norm_2", "norm_2": "norm_1"}[said(page, "layer")]
    form.locator("[name=layer]").select_option(other)
    form.locator("[name=channel]").fill("4")
    form.locator("[name=step]").fill("5")
    wait_until(page, f"location.hash === '#{NORM}?layer={other}&channel=4&step=5'")
    linked = browser.new_page(viewport={"width": 1440, "height": 900})
    linked.goto(f"{report.as_uri()}#{NORM}?layer={other}&channel=4&step=5&quantity=none&run=%3Cb%3E")
    linked.wait_for_selector("html[data-ready=true] body")
    show(linked)
    assert [said(linked, name) for name in ("layer", "channel", "step", "quantity")] == [other, "4", "5", "ratio"]
    assert linked.evaluate(f"{HEAT}.layout.shapes.map(({{x0, y0}}) => [x0, y0])") == [[5, 0], [0, 4]]
    linked.close()


def test_paper_names_run_layer_channel_and_step(page: Page) -> None:
    page.locator(f"form[data-panel='{NORM}'] [name=step]").fill("9")
    wait_until(page, f"{HEAT}.layout.shapes[0].x0 === 9")
    line = page.locator(f"figure[data-panel='{NORM}'][data-chart='activations'] .chosen")
    assert not line.is_visible()
    page.emulate_media(media="print")
    assert line.is_visible()
    layer, channel = said(page, "layer"), said(page, "channel")
    assert line.inner_text() == f"Run: norm=batch, seed 0 · Layer: {layer} · Channel: {channel} · Step: 9"
    heat = page.locator(f"figure[data-panel='{NORM}'][data-chart='heat'] .chosen").inner_text()
    assert "Quantity: variance: ln(running / precise)" in heat
    page.emulate_media(media="screen")


def test_colours_stay_off_the_map_on_a_narrow_page(browser: Browser, report: Path) -> None:
    with opened(browser, report, width=375) as page:
        show(page)
        boxes = page.evaluate(
            f"""[".infolayer [class^=cb] .cbfills", ".hm image"].map((one) => {{
                const {{top, bottom, left, right}} = {HEAT}.querySelector(one).getBoundingClientRect();
                return [top, bottom, left, right];
            }})"""
        )
        (_, end_of_colours, left, right), (start_of_map, _, map_left, map_right) = boxes
        assert end_of_colours <= start_of_map + 1
        assert map_right - map_left > 200
        assert right - left > 100
        assert page.locator(f"figure[data-panel='{NORM}'][data-chart='heat'] .chosen").is_visible()
