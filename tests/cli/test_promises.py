"""What archlab promises of others' records, files and names: nothing in them is run, and nothing leads out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archlab.errors import InputError, UntrustedError
from archlab.networks.recorded import refuse_code
from archlab.records import Epoch, Run, TrainingConfig
from archlab.store import Store, open_store
from tests.cli.conftest import Call

EPOCH = Epoch(1, 1, 1.0, 2.0, 0.1, 2.0, 0.1)


def hostile(marker: Path) -> dict[str, dict[str, Any]]:
    """Networks and options that would make a file, by kind."""
    file = marker.with_suffix(".py")
    file.write_text(f"from torch import nn\nopen({str(marker)!r}, 'w').close()\nclass Net(nn.Linear):\n    pass\n")
    return {
        "a function of the standard library": {
            "network": "subprocess:getoutput",
            "options": {"cmd": f"touch {marker}"},
        },
        "a file": {"network": f"{file}:Net", "options": {}},
        "a module": {"network": f"{file.stem}:Net", "options": {}},
        "a program": {"network": f"{file.with_suffix('.pt2')}", "options": {}},
        "a configuration": {"network": "hf:somebody/something", "options": {}},
        "a checkpoint": {"network": "timm:resnet18", "options": {"checkpoint_path": str(marker)}},
        "trained weights": {"network": "torchvision:resnet18", "options": {"weights": "DEFAULT"}},
        "a name in a name": {"network": "torchvision:resnet18:x", "options": {}},
        "another package's network": {"network": "theirs", "options": {}},
    }


KINDS = (
    "a function of the standard library",
    "a file",
    "a module",
    "a program",
    "a configuration",
    "a checkpoint",
    "trained weights",
    "a name in a name",
    "another package's network",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_runs_no_code(kind: str, archlab: Call, tmp_path: Path) -> None:
    """By any command that shows a run, from a file and from a store."""
    marker = tmp_path / "marker"
    config = TrainingConfig(**hostile(marker)[kind])
    store = open_store(tmp_path / "store")
    with store.writer(config, {}) as writer:
        writer.append(EPOCH)
        run = writer.finish({})
    record = tmp_path / "run.json"
    record.write_text(run.to_json())
    report = archlab("report", str(record), "-o", str(tmp_path / "a.html"))
    assert report.exit_code == 0
    assert "pass --trust" in report.stderr
    calls = (
        ("report", run.key, "-o", str(tmp_path / "b.html")),
        ("report", "--all", "-o", str(tmp_path / "pages" / "index.html")),
        ("runs", "show", run.key),
        ("runs", "list"),
        ("runs", "export", run.key, "--to", "csv", "-o", str(tmp_path / "csv")),
        ("bn", run.key),
    )
    for call in calls:
        assert archlab(*call, "--store", str(store.path)).exit_code in (0, 2)
    landscape = archlab("landscape", run.key, "--points", "3", "--store", str(store.path))
    assert landscape.exit_code == 2
    assert "pass --trust" in landscape.stderr
    assert not marker.exists()


def test_what_is_trusted_is_built(archlab: Call, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    record = tmp_path / "run.json"
    config = TrainingConfig(**hostile(marker)["a file"])
    record.write_text(Run("one", config, "finished", (EPOCH,)).to_json())
    archlab("report", str(record), "-o", str(tmp_path / "a.html"), "--trust")
    assert marker.exists()


def test_networks_of_archlab_and_the_zoos_need_no_trust() -> None:
    for network, options in (
        ("lenet", ["norm", "classes"]),
        ("torchvision:resnet18", ["num_classes", "norm"]),
        ("timm:resnet18", ["num_classes", "in_chans"]),
    ):
        refuse_code(network, options)


def test_an_experiment_runs_no_code_of_others(archlab: Call, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    network = hostile(marker)["a file"]["network"]
    path = tmp_path / "theirs.toml"
    text = archlab("experiment", "show", "degradation", "--toml").stdout
    path.write_text("\n".join(f"network = {network!r}" if line.startswith("network") else line
                              for line in text.splitlines()))  # fmt: skip
    assert network in path.read_text()
    for call in (("show", str(path)), ("run", str(path), "--no-report", "--store", str(tmp_path / "store"))):
        result = archlab("experiment", *call)
    assert result.exit_code == 2
    assert "pass --trust" in result.stderr
    assert not marker.exists()


@pytest.mark.parametrize("line", ['dataset = "evil.py:loader"', 'dataset = "os:getcwd"', "trust = true"])
def test_a_folder_chooses_no_code(line: str, archlab: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pyproject.toml").write_text(f"[tool.archlab.bn]\n{line}\n")
    monkeypatch.chdir(tmp_path)
    result = archlab("bn", "lenet")
    assert result.exit_code == 2
    assert "pyproject.toml" in result.stderr


def run_in(store: Store, key: str) -> Run:
    """A run whose record says that its key is another than its folder's name."""
    with store.writer(TrainingConfig(), {}) as writer:
        writer.append(EPOCH)
        run = writer.finish({})
    record = store.path / "runs" / run.key / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"key": key}))
    return run


@pytest.mark.parametrize("key", ["../../x", "/etc/x", "other", ""])
def test_a_key_leads_nowhere(key: str, archlab: Call, tmp_path: Path) -> None:
    store = open_store(tmp_path / "in" / "store")
    run = run_in(store, key)
    assert store.runs() == []
    assert [f"its key is {key!r}" in problem.error for problem in store.problems()] == [True]
    before = sorted(tmp_path.rglob("*"))
    result = archlab("runs", "export", run.key, "--to", "csv", "-o", "out", "--store", str(store.path))
    assert result.exit_code == 2
    assert sorted(tmp_path.rglob("*")) == before
    assert archlab("runs", "list", "--store", str(store.path)).stderr.count("warning:") == 1


def test_the_trace_is_kept_with_the_run_and_believed_only_as_it_was(tmp_path: Path) -> None:
    from tests.reports.samples import lenet_trace

    store = open_store(tmp_path)
    with store.writer(TrainingConfig(), {}, trace=lenet_trace()) as writer:
        writer.append(EPOCH)
        run = writer.finish({})
    assert store.trace(run) == lenet_trace()
    path = store.path / "traces" / f"{run.trace}.json"
    path.write_text(path.read_text().replace("156", "157"))
    assert store.trace(run) is None
    assert store.trace(replace(run, trace="../runs/x")) is None


def test_untrusted_is_bad_input() -> None:
    assert issubclass(UntrustedError, InputError)
    assert UntrustedError.exit_code == 2
