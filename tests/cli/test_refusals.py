"""What can't be done as asked is refused before the work begins."""

from __future__ import annotations

from pathlib import Path

import pytest

from archlab.store import open_store
from tests.cli.conftest import Call
from tests.traces import layer, trace


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever measures, trains or draws fails the test."""

    def never(*_: object, **__: object) -> object:
        raise AssertionError("the work began before the call was refused")

    for place in (
        "archlab.tracing.trace",
        "archlab.tracing.fits",
        "archlab.comparing.design",
        "archlab.training.train",
        "archlab.reports.save",
        "archlab.profile",
    ):
        monkeypatch.setattr(place, never, raising=False)


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("compare --bn off --address here:6379", "the engine is local, which has none: add --engine ray"),
        ("compare --bn off --engine spark", "engine is 'spark', expected one of local, ray"),
        ("compare --bn off --report nowhere/x.html", "--report nowhere/x.html can't be written: there is no folder"),
        (
            "compare --bn off --report x.pdf",
            "--report x.pdf has no suffix that says what to write: expected one of .htm, .html",
        ),
        ("compare --bn off -o nowhere/x.json", "-o nowhere/x.json can't be written: there is no folder nowhere"),
        ("experiment run course --report nowhere/x.html", "there is no folder nowhere"),
        ("profile lenet --report x.png", "--report x.png has no suffix that says"),
        ("train lenet -o nowhere/x.json", "there is no folder nowhere"),
        (
            "shapes lenet -o x.xlsx",
            "-o x.xlsx has no suffix that says what to write: expected one of .csv, .htm, .html, .json, .md, .txt",
        ),
        ("shapes lenet -o x.xlsx", "a spreadsheet opens .csv"),
        ("growth lenet -o g.png", "archlab graph NETWORK -o draws a picture"),
        ("report lenet -o r.pdf", "-o r.pdf has no suffix that says what to write: expected one of .htm, .html"),
        ("report lenet -o nowhere/r.html", "there is no folder nowhere"),
        ("report lenet --png taken.txt", "--png taken.txt is a file, expected a folder"),
        ("report --all -o index.pdf", "-o index.pdf names the index of the pages, expected FILE.html"),
        ("shapes lenet -o folder.json", "-o folder.json is a folder, expected the name of a file"),
        ("graph lenet -o x.doc", "-o x.doc has no suffix that says what to write: expected one of"),
        ("check lenet --save nowhere/t.json", "--save nowhere/t.json can't be written: there is no folder nowhere"),
        ("check lenet --save t.json --json", "--save alone checks nothing"),
        ("experiment show degradation -o mine.toml", "add --toml"),
        ("shapes lenet --precision bf16", "--precision has no effect without --fits"),
        ("shapes lenet --optimizer sgd", "--optimizer has no effect without --fits"),
        ("shapes lenet --fits 8GB --columns share", "--columns is for the table of layers, and --fits shows another"),
        ("shapes lenet --verify --depth 2", "--depth is for the table of layers, and --verify shows another"),
        ("shapes lenet --fits 8GB --verify", "--fits and --verify each show a table of their own"),
        ("shapes lenet resnet20 --fits 8GB", "--fits is for one network at a time"),
        ("shapes lenet --sort macs --json", "--sort orders tables, and JSON keeps the order of the network"),
        ("compare --bn off --max-lr 0.1,1 --margin 2", "--margin says what a comparison claims"),
        ("report --bn off", "--bn is for a network, and none is named"),
        ("report --all --input 32", "--input is for a network, and none is named"),
        ("report lenet --png charts --open", "--open opens a page"),
        ("serve --store TYPO", "--store TYPO: there is no such folder, expected a store"),
        ("graph lenet --colour macs", "--colour is for pictures (-o F.svg), and dot is text: leave it out"),
        ("graph lenet --direction down -o x.mmd", "--direction is for pictures (-o F.svg), and mermaid is text"),
        ("graph lenet --view diagram --json", "--view is for pictures (-o F.svg), and json is text"),
        ("graph lenet --view volume --json", "--json says nothing about volumes, which are SVG and always to scale"),
        ("graph lenet --view volume --colour kind", "--colour says nothing about volumes"),
        ("graph t.json --colour saved -o x.svg", "t.json holds no saved, which is measured only where it is asked for"),
        ("graph t.json t.json --view volume --input 5", "--input is for a network, and t.json and t.json are measured"),
        ("diff t.json t.json --input 5", "--input is for a network, and t.json and t.json are measured already"),
        ("diff t.json t.json --profile", "--profile measures networks, and t.json and t.json are measured already"),
        ("diff t.json lenet --profile", "t.json holds no time, which is measured only where it is asked for"),
        ("diff lenet t.json --after norm=none", "--after is for a network, and t.json is measured already"),
        ("diff t.json lenet --before norm=none", "--before is for a network, and t.json is measured already"),
        ("diff lenet lenet --json --all", "--all is for tables and pictures, and JSON holds every layer that differs"),
        ("diff lenet lenet -o x.json --depth 1", "--depth is for tables and pictures, and JSON holds every layer"),
        ("profile lenet --json --depth 2", "--depth is for tables, and JSON holds every layer"),
        ("shapes lenet --json --columns macs", "--columns chooses what a table shows, and JSON holds all of it"),
        ("shapes lenet --json --unfold", "--unfold is for tables, and json has a row for each layer anyway"),
        ("shapes lenet --format csv --unfold", "--unfold is for tables, and csv has a row for each layer anyway"),
        ("shapes lenet resnet20 --unfold", "--unfold is for layers, and only totals are shown"),
        ("shapes lenet t.json --batch-size 8", "--batch-size is for a network, and t.json is measured already"),
        ("shapes t.json --columns +saved", "t.json holds no saved, which is measured only where it is asked for"),
        ("shapes lenet --columns help --depth 2", "--depth shows nothing beside '--columns help'"),
        ("compare --bn off --max-lr 0.1,1 --no-report", "--no-report is about a page, and --max-lr makes no report"),
        ("compare --bn off --max-lr 0.1,1 --lr 0.1", "--lr is what --max-lr seeks"),
        ("compare --bn off --data-dir data", "--data-dir is for fashion-mnist, mnist, cifar10, cifar100, and the data"),
        (
            "train lenet --download",
            "--download is for fashion-mnist, mnist, cifar10, cifar100, and the data set is digits",
        ),
        ("experiment run course --download", "and the data set is digits: leave it out"),
        ("runs list --sort key --json", "--sort orders tables, and JSON keeps the order of the store"),
        ("report t.json --input 32", "--input is for a network, and none is named"),
        ("report lenet --data-dir data", "--data-dir is for the data of runs, and none is named"),
        ("bn lenet --weights x.pt --images 100", "--images is for images, and --dataset was not given"),
        ("bn lenet --dataset digits --key ema", "--key names weights in a file, and --weights was not given"),
        ("bn lenet --weights x.pt --dataset digits --data-dir data", "and the data set is digits: leave it out"),
        ("bn lenet --weights x.pt --full --json", "--full is for tables, and json holds everything"),
    ],
)
def test_a_call_is_refused_before_the_work(archlab: Call, tmp_path: Path, call: str, message: str) -> None:
    (tmp_path / "taken.txt").touch()
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "t.json").write_text(trace(layer("conv")).to_json())
    before = sorted(tmp_path.rglob("*"))
    result = archlab(*call.split())
    assert (result.exit_code, result.stdout, type(result.exception)) == (2, "", SystemExit)
    assert message in " ".join(result.stderr.split())
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("call", ["shapes lenet --fits 8", "check lenet --max-memory 8"])
def test_a_size_needs_a_unit(archlab: Call, call: str) -> None:
    result = archlab(*call.split())
    assert result.exit_code == 2
    assert "'8' has no unit: expected 8GB (10^9 bytes), 8GiB (2^30) or the like" in result.stderr


def test_a_size_is_echoed_as_it_was_given(archlab: Call) -> None:
    # 20 x 10^6 bytes are 20e6 / 2^20 = 19.07 MiB
    assert "fits into 20MB (19.1 MiB)" in archlab("shapes", "lenet", "--fits", "20MB", "--batch", "8").stdout
    assert "fits into 16 MiB. " in archlab("shapes", "lenet", "--fits", "16 MiB", "--batch", "8").stdout
    checked = archlab("check", "lenet", "--max-memory", "20MB", "--batch", "8").stdout
    assert "the limit of 20,000,000 (20MB)" in checked


def test_a_trace_that_a_network_fails_against_stays(archlab: Call) -> None:
    kept = Path("kept.json")
    assert archlab("check", "lenet", "--save", "kept.json").exit_code == 0
    before = kept.read_text()
    result = archlab("check", "lenet", "--bn", "off", "--save", "kept.json", "--against", "./kept.json")
    assert result.exit_code == 1
    assert kept.read_text() == before
    assert "kept.json stays as it was" in result.stderr
    assert archlab("check", "lenet", "--bn", "off", "--save", "new.json", "--against", "kept.json").exit_code == 1
    assert Path("new.json").read_text() != before
    assert archlab("check", "lenet", "--save", "kept.json", "--against", "kept.json").exit_code == 0


SMALL = ("compare", "--bn", "off", "--epochs", "1", "--train-samples", "32", "--test-samples", "20", "--no-report")


def test_no_estimate_stands_where_everything_is_stored(archlab: Call) -> None:
    first = archlab(*SMALL, "--seeds", "1")
    assert first.stderr.startswith("2 runs of lenet on digits: about ")
    again = archlab(*SMALL, "--seeds", "1")
    assert again.stderr == "2 of 2 runs were in the store already (--fresh trains them again)\n"
    more = archlab(*SMALL, "--seeds", "2")
    assert more.stderr.startswith("4 runs of lenet on digits, 2 of them in the store: about ")
    assert archlab(*SMALL, "--seeds", "1", "--fresh").stderr.startswith("2 runs of lenet on digits: about ")
    assert len(open_store().runs()) == 4
