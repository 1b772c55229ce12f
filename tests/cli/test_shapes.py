from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

import archlab
from archlab.errors import ForwardError
from archlab.records import Discrepancy, Failure, Trace, Verification
from archlab.tables import text
from archlab.tables.trace import trace_table
from tests.cli.command import run
from tests.traces import block, layer, trace

NETWORK = trace(*block("0"), *block("1"), layer("head", parameters=8, macs=8))


@pytest.fixture
def kept(tmp_path: Path) -> str:
    path = tmp_path / "net.json"
    path.write_text(NETWORK.to_json())
    return str(path)


DENSENET = [
    ("conv", [1, 64, 48, 48], 3200, 7225344),
    ("norm", [1, 64, 48, 48], 128, 0),
    ("relu", [1, 64, 48, 48], 0, 0),
    ("maxpool", [1, 64, 24, 24], 0, 0),
    ("dense_block_0", [1, 192, 24, 24], 130048, 74317824),
    ("transition_0", [1, 96, 12, 12], 18912, 10616832),
    ("dense_block_1", [1, 224, 12, 12], 167168, 23887872),
    ("transition_1", [1, 112, 6, 6], 25648, 3612672),
    ("dense_block_2", [1, 240, 6, 6], 185728, 6635520),
    ("transition_2", [1, 120, 3, 3], 29400, 1036800),
    ("dense_block_3", [1, 248, 3, 3], 195008, 1741824),
    ("final_norm", [1, 248, 3, 3], 496, 0),
    ("final_relu", [1, 248, 3, 3], 0, 0),
    ("pool", [1, 248, 1, 1], 0, 0),
    ("linear", [1, 10], 2490, 2480),
]
RESNET = [
    ("conv", [1, 64, 112, 112], 3200, 39337984),
    ("norm", [1, 64, 112, 112], 128, 0),
    ("relu", [1, 64, 112, 112], 0, 0),
    ("maxpool", [1, 64, 56, 56], 0, 0),
    ("stage_1", [1, 64, 56, 56], 148224, 462422016),
    ("stage_2", [1, 128, 28, 28], 525952, 411041792),
    ("stage_3", [1, 256, 14, 14], 2100480, 411041792),
    ("stage_4", [1, 512, 7, 7], 8395264, 411041792),
    ("pool", [1, 512, 1, 1], 0, 0),
    ("linear", [1, 10], 5130, 5120),
]


@pytest.mark.parametrize(
    ("network", "size", "rows", "totals"),
    [
        ("densenet", "96", DENSENET, (758226, 6629, 129077168)),
        ("resnet", "224", RESNET, (11178378, 7825, 1734890496)),
    ],
    ids=["densenet", "resnet"],
)
def test_the_course_in_json(
    network: str, size: str, rows: list[tuple[str, list[int], int, int]], totals: tuple[int, int, int]
) -> None:
    document = json.loads(run("shapes", network, "--input", size, "--json").out)
    assert document["schema"] == "archlab.trace/1"
    found = [(row["path"], row["output_shapes"][0], row["parameters"], row["macs"]) for row in document["layers"]]
    assert found == rows
    assert tuple(document["totals"][name] for name in ("parameters", "buffers", "macs")) == totals
    assert document["totals"]["flops"] == 2 * totals[2]
    assert document["totals"]["uncounted_operations"] == {}


def test_the_table_is_that_of_the_library() -> None:
    outcome = run("shapes", "lenet", "--input", "28")
    assert outcome.code == 0
    assert outcome.out == text(trace_table(archlab.trace("lenet", "28"))) + "\n"


def test_options_reach_the_network() -> None:
    document = json.loads(run("shapes", "lenet", "--bn", "off", "--batch", "4", "--json").out)
    assert (document["totals"]["parameters"], document["inputs"]) == (44426, [[4, 1, 28, 28]])
    assert document["options"] == {"norm": "none"}


def test_json_and_csv_hold_every_layer_and_the_table_folds(kept: str) -> None:
    paths = [item.path for item in NETWORK.layers]
    document = json.loads(run("shapes", kept, "--depth", "all", "--json").out)
    assert [row["path"] for row in document["layers"]] == paths
    rows = list(csv.DictReader(io.StringIO(run("shapes", kept, "--depth", "all", "--format", "csv").out)))
    assert [row["path"] for row in rows] == paths
    assert rows[0] == {
        "path": "0",
        "kind": "Block",
        "layer": "",
        "output_shapes": "1x8",
        "parameters": "72",
        "macs": "64",
    }
    assert "0-1 x2" in run("shapes", kept).out
    assert "0-1 x2" not in run("shapes", kept, "--unfold").out


def test_a_depth_cuts_every_form(kept: str) -> None:
    document = json.loads(run("shapes", kept, "--json").out)
    assert [row["path"] for row in document["layers"]] == ["0", "1", "head"]
    assert "fc" not in run("shapes", kept).out
    assert "0-1.fc" in run("shapes", kept, "--depth", "2").out


def test_columns(kept: str) -> None:
    outcome = run("shapes", kept, "--columns", "share, dtype", "--format", "csv")
    assert outcome.out.splitlines()[0] == "path,share_parameters,share_macs,dtype"
    assert run("shapes", kept, "--columns", "+calls", "--format", "csv").out.startswith(
        "path,kind,layer,output_shapes,parameters,macs,calls\n"
    )


def test_the_list_of_columns() -> None:
    listed = json.loads(run("shapes", "lenet", "--columns", "help", "--json").out)
    assert {"saved", "receptive-field", "share", "macs"} <= set(listed)


@pytest.mark.parametrize("form", ["table", "json", "csv", "markdown", "html"])
def test_a_file_holds_what_stdout_would_get(kept: str, tmp_path: Path, form: str) -> None:
    path = tmp_path / "out"
    outcome = run("shapes", kept, "--format", form, "-o", str(path))
    assert (outcome.code, outcome.out) == (0, "")
    assert path.read_text(encoding="utf-8") == run("shapes", kept, "--format", form).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonet"], "there is no network 'nonet'"),
        (["lenet", "--input", "0"], "every size must be 1 or more"),
        (["lenet", "--input", "abc"], "'abc' is no size, expected 96"),
        (["lenet", "--columns", "mac"], "there is no column 'mac': did you mean macs"),
        (["lenet", "--depth", "0"], "--depth '0' is no depth"),
        (["lenet", "--option", "dept=5"], "has no option 'dept'"),
        (["lenet", "--json", "--format", "csv"], "leave one of them out"),
        (["lenet", "-o", "missing/out.txt"], "missing/out.txt can't be written"),
        (["missing.json"], "missing.json can't be read"),
    ],
)
def test_a_wrong_call_is_one_message_and_two(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("shapes", *arguments)
    assert outcome.code == 2
    assert message in outcome.err
    assert outcome.err.startswith("error: ")
    assert outcome.out == ""


@pytest.mark.parametrize(("network", "size", "path"), [("lenet", "32", "linear_1"), ("densenet", "16", "transition_2")])
def test_a_size_that_does_not_fit_names_the_layer(network: str, size: str, path: str) -> None:
    outcome = run("shapes", network, "--input", size)
    assert outcome.code == 2
    assert path in outcome.err


def fail(monkeypatch: pytest.MonkeyPatch) -> Trace:
    failure = Failure("head", "Linear", "net.py:3", "1x4", "1x8", "in_features=4", "boom")
    partial = replace(NETWORK, failure=failure)

    def broken(*arguments: object, **options: object) -> Trace:
        raise ForwardError("net fails at head (Linear)", failure, partial)

    monkeypatch.setattr("archlab.cli.common.options.traced", broken)
    return partial


def test_a_failure_shows_the_table_so_far_and_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(monkeypatch)
    outcome = run("shapes", "net")
    assert outcome.code == 2
    assert [line.split()[0] for line in outcome.out.splitlines()[4:6]] == ["0-1", "head"]
    assert "expected  1x8" in outcome.err
    assert "mend      in_features=4" in outcome.err


def test_a_failure_in_json_is_the_trace_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    partial = fail(monkeypatch)
    outcome = run("shapes", "net", "--depth", "all", "--json")
    assert outcome.code == 2
    assert Trace.from_json(outcome.out) == partial


def test_strict_exits_one_where_something_is_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "net.json"
    path.write_text(replace(NETWORK, totals=replace(NETWORK.totals, uncounted_operations={"fft": 2})).to_json())
    assert run("shapes", str(path)).code == 0
    outcome = run("shapes", str(path), "--strict")
    assert outcome.code == 1
    assert "total" in outcome.out
    assert "the cost of these operations is not known: fft" in outcome.err


def test_strict_passes_where_everything_is_counted(kept: str) -> None:
    assert run("shapes", kept, "--strict").code == 0


@pytest.mark.parametrize(("explanation", "code"), [("10 biases", 0), ("", 1)])
def test_verifying_exits_one_where_a_difference_is_unexplained(
    monkeypatch: pytest.MonkeyPatch, explanation: str, code: int
) -> None:
    difference = Discrepancy("fc", "Linear", "macs", "2,480", "2,490", explanation)
    monkeypatch.setattr(
        "archlab.tracing.verify",
        lambda *_, **__: Verification("lenet", "torchinfo 1.8", 3, (difference,)),
    )
    outcome = run("shapes", "lenet", "--verify")
    assert outcome.code == code
    assert "3 values compared, 1 different" in outcome.out


def test_torchinfo_agrees_on_lenet() -> None:
    document = json.loads(run("shapes", "lenet", "--verify", "--json").out)
    assert document["schema"] == "archlab.verification/1"
    assert document["compared"] > 60  # 16 rows of two shapes, parameters and MACs
    assert all(item["explanation"] for item in document["discrepancies"])


def test_a_training_step_stands_below_the_table() -> None:
    shown = run("shapes", "lenet", "--columns", "+backward,recomputed", "--input", "1x28x28")
    found = archlab.trace("lenet", [(1, 1, 28, 28)], columns=["backward"]).totals
    first = archlab.trace("lenet", [(1, 1, 28, 28)]).layers[0].macs
    assert found.backward_macs == 2 * found.macs - first
    step = f"forward {found.macs:,} + backward {found.backward_macs:,} = {found.step_macs:,} MACs."
    assert f"Training step: {step}" in " ".join(shown.out.split())
    held = json.loads(run("shapes", "lenet", "--columns", "recomputed", "--input", "1x28x28", "--json").out)
    assert held["totals"]["step_macs"] == found.step_macs
    assert held["layers"][0]["backward_macs"] == first
    assert held["layers"][0]["recomputed_macs"] == 0
