from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from archlab.store import open_store
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("no_training")


@pytest.fixture
def key(archlab: Call) -> str:
    """Of a comparison of two runs, with its report, in the store."""
    archlab("compare", "--bn", "off", "--seeds", "1")
    return open_store().comparisons()[0].key


def test_an_empty_store_says_how_to_fill_it(archlab: Call) -> None:
    assert json.loads(archlab("runs", "list", "--json").stdout)["runs"] == []
    result = archlab("runs", "list")
    assert result.exit_code == 0
    assert "holds no runs yet: archlab compare --bn off makes some" in result.stderr


def test_runs_and_comparisons_are_listed(archlab: Call, key: str) -> None:
    text = archlab("runs", "list").stdout
    for run in open_store().runs():
        assert run.key in text
    assert f"{key}  comparison  2 runs" in " ".join(text.split()).replace(" comparison 2", "  comparison  2")
    assert text.count("---\n") == 1  # one table


def test_the_list_is_json_and_csv_too(archlab: Call, key: str) -> None:
    text = archlab("runs", "list", "--json").stdout
    document = json.loads(text)
    assert msgspec.json.format(text, indent=2) == text.removesuffix("\n")  # as if it were made at once
    assert document["schema"] == "archlab.runs/1"
    assert [run["config"]["variant"] for run in document["runs"]] == ["norm=batch", "norm=none"]
    assert [comparison["key"] for comparison in document["comparisons"]] == [key]
    lines = archlab("runs", "list", "--format", "csv").stdout.splitlines()
    assert lines[0] == "key,status,epochs,test_accuracy,created"
    assert len(lines) == 3


def test_a_run_and_a_comparison_are_shown(archlab: Call, key: str) -> None:
    run = open_store().runs()[0]
    assert archlab("runs", "show", run.key).stdout.startswith("lenet on digits: norm=batch, seed 0")
    assert json.loads(archlab("runs", "show", run.key, "--json").stdout)["key"] == run.key
    shown = archlab("runs", "show", key)
    assert "Differences, paired by seed" in shown.stdout
    assert (
        "Findings\n- Whether norm=none and norm=batch differ in test accuracy (precise statistics) can't"
        in shown.stdout
    )


def test_deleting_takes_the_report_with_it_and_leaves_the_runs(archlab: Call, key: str) -> None:
    store = open_store()
    report = store.path / "reports" / f"{key}.html"
    assert report.exists()
    result = archlab("runs", "delete", key)
    assert (result.exit_code, result.stderr) == (0, f"deleted {key}\n")
    assert not report.exists()
    assert store.comparisons() == []
    assert len(store.runs()) == 2


def test_nothing_is_deleted_where_one_name_is_wrong(archlab: Call, key: str) -> None:
    result = archlab("runs", "delete", key, "nothing")
    assert result.exit_code == 2
    assert "no run or comparison 'nothing'" in result.stderr
    assert len(open_store().comparisons()) == 1


def test_an_unknown_name_is_answered_with_near_ones(archlab: Call, key: str) -> None:
    result = archlab("runs", "show", f"{key[:-2]}xy")
    assert result.exit_code == 2
    assert f"did you mean {key}" in result.stderr


def test_a_key_can_be_named_by_its_start_its_end_or_as_the_newest(archlab: Call, key: str) -> None:
    whole = archlab("runs", "show", key).stdout
    for name in (key[:-2], key[-12:], "newest"):
        assert archlab("runs", "show", name).stdout == whole
    run = open_store().runs()[1].key
    assert archlab("runs", "show", run[-12:]).stdout == archlab("runs", "show", run).stdout
    shared = archlab("runs", "show", "lenet-norm")
    assert shared.exit_code == 2
    assert "'lenet-norm' is the start of 2 keys: lenet-norm-batch" in shared.stderr
    assert archlab("runs", "delete", key[:-2]).exit_code == 2  # what deletes takes no guess
    assert "no newest one" in archlab("runs", "show", "newest", "--store", "nothing").stderr


def test_the_list_is_sorted_by_a_column(archlab: Call, key: str) -> None:
    lines = archlab("runs", "list", "--sort", "test_accuracy", "--format", "csv").stdout.splitlines()
    assert [line.split(",")[3] for line in lines] == ["test_accuracy", "0.9", "0.7"]
    wrong = archlab("runs", "list", "--sort", "acuracy")
    assert (wrong.exit_code, "did you mean test_accuracy" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "norms"),
    [
        ((), ["batch", "none"]),
        (("--where", "norm=none"), ["none"]),
        (("--where", "test_accuracy>0.8 and network=lenet"), ["BEST"]),
        (("--where", "seed=7"), []),
        (("--limit", "1"), ["none"]),
        (("--limit", "0", "--sort", "norm"), ["batch", "none"]),
        (("--limit", "1", "--sort", "test_accuracy"), ["BEST"]),
    ],
)
def test_the_list_is_chosen_ordered_and_cut(
    archlab: Call, key: str, arguments: tuple[str, ...], norms: list[str]
) -> None:
    runs = open_store().runs()
    keys = {run.config.options["norm"]: run.key for run in runs}
    keys["BEST"] = max(runs, key=lambda run: run.metric("test_accuracy") or 0).key
    lines = archlab("runs", "list", *arguments, "--format", "csv").stdout.splitlines()[1:]
    assert [line.partition(",")[0] for line in lines] == [keys[norm] for norm in norms]
    if "--where" in arguments:
        document = json.loads(archlab("runs", "list", *arguments, "--json").stdout)
        assert ([run["key"] for run in document["runs"]], document["comparisons"]) == ([keys[one] for one in norms], [])


def test_a_cut_list_says_what_is_left_out(archlab: Call, key: str) -> None:
    assert "The newest 2 of 3: --limit 0 shows all." in archlab("runs", "list", "--limit", "2").stdout
    assert "The first 1 of 3: --limit 0 shows all." in archlab("runs", "list", "--limit", "1", "--sort", "key").stdout
    assert "--limit" not in archlab("runs", "list").stdout
    nothing = archlab("runs", "list", "--where", "network=resnet")
    assert (nothing.exit_code, nothing.stderr) == (0, "none of 2 runs has network=resnet\n")
    wrong = archlab("runs", "list", "--where", "netwrk=resnet")
    assert (wrong.exit_code, "did you mean network" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "left", "words"),
    [
        (("--where", "norm=none", "--comparisons", "--yes"), 1, "1 run deleted"),
        (("--keep", "0", "--comparisons", "-y"), 0, "2 runs deleted"),
        (("--keep", "1", "--comparisons", "--yes"), 1, "1 run of those will stay: kept as the newest"),
        (("--where", "norm=none", "--comparisons", "--dry-run"), 2, "1 run would go"),
        (("--where", "norm=none", "--yes"), 2, "1 run of those will stay: named by a comparison"),
        (("--older", "1d", "--comparisons", "--yes"), 2, "no run is to go"),
    ],
)
def test_runs_are_pruned(archlab: Call, key: str, arguments: tuple[str, ...], left: int, words: str) -> None:
    result = archlab("runs", "prune", *arguments)
    assert result.exit_code == 0
    assert words in result.stderr
    assert len(open_store().runs()) == left
    assert len(open_store().comparisons()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing says which runs are to go: give --where, --older or --keep"),
        (("--older", "soon"), "--older 'soon' is no time"),
        (("--where", "norm"), "'norm' is no condition"),
        (("--keep", "0", "--comparisons"), "2 runs would go, and nobody can be asked here: --yes deletes them"),
    ],
)
def test_a_prune_that_can_not_be_meant_deletes_nothing(
    archlab: Call, key: str, arguments: tuple[str, ...], words: str
) -> None:
    result = archlab("runs", "prune", *arguments)
    assert (result.exit_code, words in result.stderr) == (2, True)
    assert len(open_store().runs()) == 2


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_a_prune_asks_first(archlab: Call, key: str, answer: str, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.cli.common.pruning.is_terminal", lambda stream: True)
    monkeypatch.setattr("typer.confirm", lambda text, err: answer == "y\n")
    result = archlab("runs", "prune", "--keep", "0", "--comparisons")
    assert result.exit_code == 0
    assert len(open_store().runs()) == left


def test_what_can_not_be_read_is_told_of(archlab: Call, key: str) -> None:
    broken: Path = open_store().path / "runs" / "broken"
    broken.mkdir()
    result = archlab("runs", "list")
    assert result.exit_code == 0
    assert "warning:" in result.stderr
    assert "broken" in result.stderr


def test_runs_are_exported_by_key_or_all_of_them(archlab: Call, key: str) -> None:
    first, second = open_store().runs()
    assert archlab("runs", "export", first.key, "-o", "one").stdout == "one\n"
    assert len(Path("one/runs.csv").read_text().splitlines()) == 1 + 1
    result = archlab("runs", "export", key, second.key, "--to", "csv", "-o", "both")
    assert (result.exit_code, result.stderr) == (0, "2 runs exported\n")
    archlab("runs", "export", "-o", "all")
    assert Path("all/epochs.csv").read_text() == Path("both/epochs.csv").read_text()


def test_what_cannot_be_exported_is_refused(archlab: Call, key: str) -> None:
    for arguments, message in (
        (("nothing",), "no run or comparison 'nothing'"),
        (("--to", "excel"), "runs can't be exported to 'excel'"),
        (("-o", "archlab.txt"), "archlab.txt is a file, expected a folder"),
    ):
        Path("archlab.txt").touch()
        result = archlab("runs", "export", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr


@pytest.mark.parametrize("kind", ["run", "comparison"])
def test_what_cannot_be_read_is_said_and_can_be_deleted(archlab: Call, kind: str) -> None:
    archlab("compare", "--bn", "off", "--seeds", "1", "--no-report")
    store = open_store()
    if kind == "run":
        key = store.runs()[0].key
        broken = store.path / "runs" / key / "run.json"
    else:
        key = store.comparisons()[0].key
        broken = store.path / "comparisons" / f"{key}.json"
    broken.write_text("{")
    shown = archlab("runs", "show", key)
    assert shown.exit_code == 2
    assert "can't be read" in shown.stderr
    assert f"`archlab runs delete {key}` removes it" in shown.stderr
    assert archlab("runs", "delete", key).exit_code == 0
    assert not broken.exists()
    assert store.problems() == []
