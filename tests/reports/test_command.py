"""`archlab report`: what each argument stands for, and where the pages go."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from archlab.cli import app, report
from archlab.records import Epoch, TrainingConfig
from archlab.reports.resources import plotly
from archlab.reports.text import minus
from archlab.store import open_store
from tests.reports.samples import add_run, experiment, lenet_trace
from tests.reports.test_page import Reader

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `archlab report` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ARCHLAB_STORE", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["archlab", "report", *arguments])
        with pytest.raises(SystemExit) as left:
            app.main()
        captured = capsys.readouterr()
        return int(left.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are shown without their networks: tracing them is another test's concern."""
    monkeypatch.setattr(report, "networks_of", lambda items, store, data_dir, trust: [])


def test_no_argument_is_the_newest_comparison(command: Command, untraced: None) -> None:
    _, comparison = experiment(Path("archlab-runs"))
    assert command() == (0, "report.html\n", "")
    text = Path("report.html").read_text(encoding="utf-8")
    assert minus(comparison.findings[0]) in Reader(text).text.replace("\u00a0", " ")
    assert '<code id="page-command">archlab report</code>' in text


def test_json_files_and_keys_in_any_order(command: Command, untraced: None) -> None:
    store, comparison = experiment(Path("archlab-runs"))
    Path("trace.json").write_text(lenet_trace("from-a-file").to_json())
    run = store.runs()[0]
    Path("run.json").write_text(run.to_json())
    code, _, _ = command(comparison.key, "trace.json", "run.json", run.key, "-o", "all.html")
    text = Path("all.html").read_text(encoding="utf-8")
    assert code == 0
    assert "from-a-file" in text
    assert 'id="lenet-on-digits-norm"' in text


def test_a_network_is_traced_with_its_options(command: Command) -> None:
    code, out, _ = command("lenet", "--bn", "off", "-o", "lenet.html")
    text = Path(out.strip()).read_text(encoding="utf-8")
    assert code == 0
    assert "44,426" in text
    assert "norm=none" in text


def test_a_network_that_fails_is_shown_up_to_there(command: Command) -> None:
    Path("bad.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(100, 10))\n"
    )
    code, out, err = command("bad.py:net", "--input", "3x32x32", "-o", "bad.html")
    assert (code, out) == (2, "bad.html\n")
    assert "in_features=7200" in err  # 8 x 30 x 30
    text = Reader(Path("bad.html").read_text(encoding="utf-8")).text
    assert "no whole forward pass: it fails at 2" in " ".join(text.split())


def test_the_networks_of_the_runs_are_traced(command: Command) -> None:
    experiment(Path("archlab-runs"), seeds=1)
    assert command()[0] == 0
    assert "44,878" in Path("report.html").read_text(encoding="utf-8")


EPOCH = Epoch(1, 90, 0.5, 2.0, 0.25, 2.1, 0.3)


def test_networks_of_runs_are_fitted_to_what_they_were_trained_on(command: Command) -> None:
    store = open_store()
    with store.writer(TrainingConfig(network="resnet20"), {}) as writer:
        writer.append(EPOCH)
        run = writer.finish({})
    assert command(run.key)[0] == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert "1×1×32×32" in text  # digits are grey
    assert "269,434" in text  # the paper's 269,722, less 2 * 16 * 3 * 3 of the first convolution


def test_networks_are_left_out_where_their_data_is_missing(command: Command) -> None:
    store = open_store()
    with store.writer(TrainingConfig(dataset="gone"), {}) as writer:
        writer.append(EPOCH)
        run = writer.finish({})
    code, out, err = command(run.key)
    assert (code, out) == (0, "report.html\n")
    assert "lenet, trained on gone, is left out of the report: there is no data set 'gone'" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "holds no comparison"),
        (("missing.json",), "can't be read"),
        (("broken.json",), "expected JSON that archlab wrote"),
        (("other.json",), "has schema 'other'"),
        (("list.json",), "no JSON that archlab wrote"),
        (("densnet",), "no run or comparison in archlab-runs, and no network"),
        (("--all",), "holds no run"),
        (("lenet", "--all"), "leave one of them out"),
        (("trace.json", "-o", "nowhere/report.html"), "there is no folder"),
    ],
)
def test_wrong_calls_are_explained(command: Command, arguments: tuple[str, ...], words: str) -> None:
    Path("broken.json").write_text("{")
    Path("other.json").write_text('{"schema": "other"}')
    Path("list.json").write_text("[]")
    Path("trace.json").write_text(lenet_trace().to_json())
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert not list(Path().glob("*.html"))


def test_all_writes_an_index_and_what_it_links(command: Command, untraced: None) -> None:
    store, comparison = experiment(Path("archlab-runs"), seeds=1)
    add_run(store, "norm=group", 3)
    code, out, _ = command("--all")
    index = Path(out.strip())
    assert code == 0
    assert index == Path("archlab-runs/reports/index.html")
    text = index.read_text(encoding="utf-8")
    assert sorted(path.name for path in index.parent.iterdir()) == sorted(
        ["index.html", "index-runs.html", f"{comparison.key}.html"]
    )
    for name in ("index-runs.html", f"{comparison.key}.html"):
        assert f'href="{name}"' in text
        assert plotly().packed in index.with_name(name).read_text(encoding="utf-8")
    assert len(open_store().runs()) == 3


def test_all_names_what_cannot_be_read_and_shows_the_others(command: Command, untraced: None) -> None:
    _, comparison = experiment(Path("archlab-runs"), seeds=1)
    Path("archlab-runs/comparisons/broken.json").write_text("{")
    code, _, err = command("--all", "-o", "a b#/i#.html")
    assert code == 0
    assert "warning: the comparison in archlab-runs/comparisons/broken.json can't be read" in err
    assert Path("a b#", f"{comparison.key}.html").exists()


def test_all_links_a_page_whatever_its_name(command: Command, untraced: None) -> None:
    add_run(open_store(Path("archlab-runs")), "norm=group", 3)
    assert command("--all", "-o", "i#.html")[0] == 0
    assert 'href="i%23-runs.html"' in Path("i#.html").read_text(encoding="utf-8")


def test_all_leaves_pages_that_are_there(command: Command, untraced: None) -> None:
    _, comparison = experiment(Path("archlab-runs"), seeds=1)
    page = Path("archlab-runs/reports") / f"{comparison.key}.html"
    page.parent.mkdir()
    page.write_text("mine")
    assert command("--all")[0] == 0
    assert page.read_text() == "mine"


def test_all_renews_pages_that_are_older_than_their_comparison(command: Command, untraced: None) -> None:
    _, comparison = experiment(Path("archlab-runs"), seeds=1)
    page = Path("archlab-runs/reports") / f"{comparison.key}.html"
    page.parent.mkdir()
    page.write_text("older")
    os.utime(page, (1e9, 1e9))
    assert command("--all")[0] == 0
    assert plotly().packed in page.read_text(encoding="utf-8")


def test_all_divides_loose_runs_into_pages(command: Command, untraced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.cli.common.store_pages.RUNS_PER_PAGE", 2)
    store = open_store(Path("archlab-runs"))
    for seed in range(5):
        add_run(store, "norm=group", seed)
    assert command("--all", "-o", "pages/i.html")[0] == 0
    index = Path("pages/i.html").read_text(encoding="utf-8")
    pages = [Path("pages", name) for name in ("i-runs.html", "i-runs-2.html", "i-runs-3.html")]
    keys = [run.key for run in store.runs()]
    for place, page in enumerate(pages):
        assert f'href="{page.name}"' in index
        text = page.read_text(encoding="utf-8")
        assert [key in text for key in keys] == [number // 2 == place for number in range(5)]
    assert "Page of runs 3 to 4 of 5 in no comparison." in index
    assert "5 runs" in Reader(index).text

    written = [page.stat().st_mtime_ns for page in pages]
    assert command("--all", "-o", "pages/i.html")[0] == 0
    assert [page.stat().st_mtime_ns for page in pages] == written  # they show the same runs
    for key in keys[2:]:
        store.delete(key)
    assert command("--all", "-o", "pages/i.html")[0] == 0
    assert [page.exists() for page in pages] == [True, False, False]
    assert "Page of runs in no comparison." in Path("pages/i.html").read_text(encoding="utf-8")


def test_all_by_several_processes_is_the_same(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.cli.common.store_pages.RUNS_PER_PAGE", 2)
    store = open_store(Path("archlab-runs"))
    for seed in range(3):
        add_run(store, "norm=group", seed)
    written = []
    for pages, processes in ((8, 1), (1, 2)):
        monkeypatch.setattr("archlab.cli.common.store_pages.PAGES_PER_PROCESS", pages)
        monkeypatch.setattr("archlab.cli.common.store_pages.cores", lambda processes=processes: processes)
        assert command("--all", "-o", f"{processes}/i.html")[0] == 0
        written.append({path.name: path.read_bytes() for path in Path(str(processes)).iterdir()})
    assert len(written[0]) == 3
    assert written[0] == written[1]


def test_open_shows_the_page(command: Command, untraced: None, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    experiment(Path("archlab-runs"), seeds=1)
    assert command("--open")[0] == 0
    assert shown == [Path("report.html").resolve().as_uri()]
