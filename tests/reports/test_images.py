"""Charts as plotly figures, and as pictures."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects
import pytest

from archlab.errors import InputError
from archlab.records import Comparison
from archlab.reports.diagram.picture import find_browser
from archlab.reports.images import figures, save_images
from archlab.reports.panel import Chart, Switch
from archlab.store import Store
from tests.cli.conftest import archlab as archlab
from tests.reports.samples import CHARTS, experiment, lenet_trace


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Comparison]:
    return experiment(tmp_path_factory.mktemp("images") / "store", seeds=2)


def test_a_chart_gives_a_plotly_figure_with_its_controls_set() -> None:
    chart = Chart(
        "loss",
        "Loss",
        "How it falls.",
        [{"type": "scatter", "y": Switch("x", {"step": [1, 2], "epoch": [3]})}],
        state={"x": "step"},
    )
    assert isinstance(chart.figure(), plotly.graph_objects.Figure)
    assert chart.figure().layout.title.text == "Loss"
    assert chart.figure().data[0].y == (1, 2)
    assert chart.figure(x="epoch").data[0].y == (3,)


def test_a_name_in_a_title_is_no_markup() -> None:
    figure = Chart("loss", "Around <b>norm</b> & \u202emron", "", []).figure()
    assert figure.layout.title.text == "Around &lt;b&gt;norm&lt;/b&gt; &amp; ⟨U+202E⟩mron"


def test_every_chart_of_a_page_gives_one(material: tuple[Store, Comparison]) -> None:
    store, comparison = material
    found = figures([lenet_trace(), comparison], store=store)
    assert len(found) == CHARTS  # as many as the page draws
    assert all(isinstance(figure, plotly.graph_objects.Figure) for figure in found.values())
    assert len(found["lenet-on-digits-training-test-loss"].data[2].y) == 3  # epochs


def test_a_figure_says_what_its_controls_say(material: tuple[Store, Comparison]) -> None:
    store, comparison = material
    first = figures([comparison], store=store)
    chosen = figures([comparison], store=store, layer="norm_2", channel=3, x="epoch", smoothing="0.9")

    def said(found: dict[str, Any], name: str) -> str:
        text: str = found[f"lenet-on-digits-{name}"].layout.title.subtitle.text
        return text

    run = "lenet on digits · Run: norm=batch, seed 0"
    assert said(first, "norm-channel-mean") == f"{run} · Layer: norm_2 · Channel: 7"  # the worst
    assert said(chosen, "norm-channel-mean") == f"{run} · Layer: norm_2 · Channel: 3"
    assert said(first, "training-train-loss") == "lenet on digits"  # the axis names the step, and nothing is smoothed
    assert said(chosen, "training-train-loss") == "lenet on digits · Smoothing of training curves: strong (0.9)"
    assert said(chosen, "training-test-loss") == "lenet on digits"  # test curves are not smoothed
    assert chosen["lenet-on-digits-training-test-loss"].layout.xaxis.title.text == "epoch"


def test_names_in_a_figure_are_text() -> None:
    found = figures([lenet_trace(network='<a href="javascript:alert(1)">net</a>')])
    texts = [figure.layout.title.subtitle.text for figure in found.values()]
    assert texts
    assert all(text.startswith('&lt;a href="javascript:alert(1)"&gt;net&lt;/a&gt;') for text in texts)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        ({"metrik": "test_loss"}, "no chart has metrik='test_loss': did you mean metric"),
        ({"x": "hour"}, "no chart has x='hour': expected one of epoch, seconds, step"),
        ({"channel": 99}, "no chart has channel=99: expected one of 0, 1"),
    ],
)
def test_controls_that_no_chart_has(
    material: tuple[Store, Comparison], controls: dict[str, str | int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        figures([material[1]], store=material[0], **controls)


class Kaleido:
    """Stands in for kaleido, and writes what it is told to draw."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def write_fig_from_object_sync(self, jobs: list[dict[str, Any]], kopts: dict[str, Any]) -> None:
        assert kopts["mathjax"] is False  # it would come from a network
        for job in jobs:
            if self.error:
                raise self.error
            Path(job["path"]).write_text("drawn")


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("BROWSER_PATH", "chromium")

    def install(error: Exception | None = None) -> None:
        monkeypatch.setitem(sys.modules, "kaleido", Kaleido(error))

    return install


def test_pictures_have_the_names_of_their_charts(
    material: tuple[Store, Comparison], tmp_path: Path, stand_in: Callable[..., None]
) -> None:
    stand_in()
    store, comparison = material
    paths = save_images(tmp_path / "deep" / "er", [comparison], "png", store=store)
    assert tmp_path / "deep" / "er" / "lenet-on-digits-outcome-outcome.png" in paths
    assert all(path.read_text() == "drawn" for path in paths)
    assert save_images(tmp_path / "deep" / "er", [comparison], "png", store=store) == paths


def test_a_browser_that_fails_leaves_nothing(
    material: tuple[Store, Comparison], tmp_path: Path, stand_in: Callable[..., None]
) -> None:
    stand_in(RuntimeError("it crashed. A long story", "and its end"))
    with pytest.raises(InputError, match=r"chromium drew no pictures: it crashed: install .* set BROWSER_PATH to one"):
        save_images(tmp_path / "out", [material[1]], "svg", store=material[0])
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_said(
    material: tuple[Store, Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: Callable[..., None]
) -> None:
    store, comparison = material
    monkeypatch.setitem(sys.modules, "kaleido", None)
    with pytest.raises(InputError, match=r"which is not installed: pip install 'archlab\[images\]'"):
        save_images(tmp_path, [comparison], "png", store=store)
    stand_in()
    monkeypatch.delenv("BROWSER_PATH")
    monkeypatch.setattr("archlab.reports.diagram.picture.BROWSER_COMMANDS", ("no-such-browser",))
    monkeypatch.setattr("archlab.reports.diagram.picture.BROWSER_PATHS", ())
    with pytest.raises(InputError, match="neither was found: install Chromium or Chrome, set BROWSER_PATH to one, or"):
        save_images(tmp_path, [comparison], "png", store=store)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file, expected a folder"):
        save_images(tmp_path / "file", [comparison], "png", store=store)


def test_the_command_saves_pictures_and_a_page_only_where_one_is_named(
    archlab: Callable[..., Any], material: tuple[Store, Comparison], stand_in: Callable[..., None]
) -> None:
    stand_in()
    store = str(material[0].path)
    told = archlab("report", "--store", store, "--svg", "pictures").stdout.splitlines()
    assert "pictures/lenet-on-digits-training-train-loss.svg" in told
    assert sorted(path.name for path in Path("pictures").iterdir()) == sorted(Path(line).name for line in told)
    assert not Path("report.html").exists()
    archlab("report", "--store", store, "--png", "pictures", "-o", "page.html")
    assert Path("page.html").exists()
    refused = archlab("report", "--all", "--store", store, "--png", "pictures")
    assert (refused.exit_code, "--png and --svg save the charts of one page" in refused.stderr) == (2, True)


@pytest.mark.chromium
@pytest.mark.filterwarnings("ignore")  # kaleido's own
def test_kaleido_draws_every_chart(material: tuple[Store, Comparison], tmp_path: Path) -> None:
    pytest.importorskip("kaleido", reason="kaleido is not installed: pip install 'archlab[images]'")
    try:
        find_browser()
    except InputError as error:
        pytest.skip(str(error))
    store, comparison = material
    paths = save_images(tmp_path, [comparison], "svg", store=store)
    for path in paths:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
