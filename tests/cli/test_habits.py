"""What people expect of a command line: short help, near names, defaults in a file, completion, aliases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from archlab import networks
from archlab.circumstances import BUILT_IN
from archlab.cli.app import COMMANDS
from archlab.cli.common.completion import column_names, network_names, run_keys
from archlab.store import open_store
from tests.cli import trained
from tests.cli.command import run
from tests.cli.conftest import Call


@pytest.mark.parametrize("command", ["", *COMMANDS, "runs list", "experiment run"])
def test_h_is_help(command: str) -> None:
    short, long = run(*command.split(), "-h"), run(*command.split(), "--help")
    assert (short.code, short.out) == (0, long.out)
    assert "-h, --help" in short.out


def test_a_command_that_is_not_there_comes_with_the_nearest() -> None:
    outcome = run("shape", "lenet")
    assert outcome.code == 2
    assert "there is no command 'shape': did you mean shapes?" in outcome.err


def test_a_network_of_a_zoo_is_proposed_with_its_source() -> None:
    for command in (("shapes", "vgg16"), ("networks", "vgg16")):
        assert "did you mean torchvision:vgg16" in run(*command).err
    assert "num_classes" in run("networks", "torchvision:vgg16").out


def test_several_networks_are_one_table() -> None:
    lines = run("shapes", "lenet", "resnet20", "--sort", "parameters").out.splitlines()
    assert [line.split()[0] for line in lines[:4] if not line.startswith("---")] == ["network", "resnet20", "lenet"]
    # resnet20: 269,722 parameters (Table 6 of He et al. says 0.27M); lenet 44,878
    assert lines[0].split() == ["network", "output", "shape", "parameters", "MACs"]  # no column that says nothing
    assert "269,722" in lines[2]
    assert "44,878" in lines[3]
    inner = run("shapes", "lenet", "resnet20", "--depth", "1", "--sort", "macs").out.splitlines()
    assert [line.split()[0] for line in inner[2:5]] == ["resnet20", "stage_1", "stage_2"]
    document = json.loads(run("shapes", "lenet", "resnet20", "--json").out)
    assert [one["network"] for one in document["traces"]] == ["lenet", "resnet20"]
    rows = run("shapes", "lenet", "resnet20", "--depth", "1", "--format", "csv").out.splitlines()
    assert rows[0] == "network,path,kind,layer,output_shapes,parameters,macs"
    assert rows[1] == "lenet on 1x1x28x28,,,,1x10,44878,281640"
    assert rows[2] == 'lenet on 1x1x28x28,conv_1,Conv2d,"5x5, 6, padding 0",1x6x24x24,156,86400'


def test_a_sorting_column_is_shown() -> None:
    out = run("shapes", "lenet", "--sort", "elementwise").out
    assert "elementwise" in out.splitlines()[2]
    assert run("shapes", "lenet", "--sort", "elementwis").code == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shapes lenet --batch 4 --input 28 --json", "shapes lenet --batch-size 4 --size 28 --json"),
        ("growth resnet20 --batch 4 --json", "growth resnet20 --batch-size 4 --json"),
    ],
)
def test_one_thing_has_both_names(one: str, other: str) -> None:
    first, second = run(*one.split()), run(*other.split())
    assert (first.code, first.out) == (0, second.out)


@pytest.mark.usefixtures("no_training")
def test_trainings_take_both_names_too(archlab: Call) -> None:
    document = json.loads(archlab("train", "lenet", "--batch", "64", "--input", "32", "--json").stdout)
    assert (document["config"]["batch_size"], document["config"]["size"]) == (64, 32)


@pytest.mark.usefixtures("no_training")
def test_train_ends_with_its_verdict_and_where_to_look_next(archlab: Call) -> None:
    lines = archlab("train", "lenet").stdout.splitlines()
    key = open_store().runs()[0].key
    assert lines[-3].startswith("Verdict: ")
    assert lines[-2:] == [
        f"Next: archlab runs show {key} has each verdict,",
        f"      archlab report {key} draws the run as a page",
    ]
    assert "Next" not in archlab("train", "lenet", "--format", "csv").stdout


class TestDefaults:
    """`[tool.archlab]` in `pyproject.toml`."""

    def test_options_take_them_and_the_command_line_goes_before(self, archlab: Call) -> None:
        Path("pyproject.toml").write_text(
            '[tool.archlab]\nbatch = 4\n[tool.archlab.shapes]\ncolumns = ["kind", "macs"]\n'
        )
        Path("inner").mkdir()
        assert archlab("shapes", "lenet", "--format", "csv").stdout.splitlines()[0] == "path,kind,macs"
        assert json.loads(archlab("shapes", "lenet", "--json").stdout)["inputs"] == [[4, 1, 28, 28]]
        assert json.loads(archlab("shapes", "lenet", "--json", "--batch", "2").stdout)["inputs"] == [[2, 1, 28, 28]]
        assert "[default: kind,macs]" not in archlab("growth", "--help").stdout

    def test_a_default_is_no_option_without_effect(self, archlab: Call) -> None:
        Path("pyproject.toml").write_text('[tool.archlab.shapes]\noptimizer = "sgd"\n')
        assert archlab("shapes", "lenet").exit_code == 0

    def test_a_list_becomes_several_values(self, archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("archlab.training.train_all", trained.train_all)
        monkeypatch.setattr("archlab.training.estimate_time", lambda *_: trained_time())
        Path("pyproject.toml").write_text("[tool.archlab.compare]\nlr = [0.125, 0.25]\nseeds = 1\nno-report = true\n")
        document = json.loads(archlab("compare", "--json").stdout)
        assert [one["name"] for one in document["variants"]] == ["lr=0.125", "lr=0.25"]
        assert document["seeds"] == [0]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "[tool.archlab]\ndeph = 2",
                "tool.archlab has 'deph', which is no option of a command: did you mean depth",
            ),
            ("[tool.archlab.shapes]\nlr = 2", "tool.archlab.shapes has 'lr', which is no option of it"),
            ("[tool.archlab.shape]\ndepth = 2", "tool.archlab.shape is no command: did you mean shapes"),
            ("[tool.archlab.runs.lst]\nsort = 2", "tool.archlab.runs.lst is no command: did you mean list"),
            ("[tool.archlab]\nstrict = 1", "tool.archlab.shapes.strict is 1, expected true or false"),
            ("[tool.archlab]\nbatch = true", "batch is true, expected a value: the option is no switch"),
            ("[tool.archlab\n", "can't be read"),
            ('[tool]\narchlab = "x"', "expected a table of options"),
        ],
    )
    def test_what_is_no_option_is_refused(self, archlab: Call, text: str, message: str) -> None:
        Path("pyproject.toml").write_text(text)
        result = archlab("shapes", "lenet")
        assert (result.exit_code, result.stdout) == (2, "")
        assert message in result.stderr
        assert "pyproject.toml" in result.stderr

    def test_the_files_of_others_may_hold_what_they_like(self, archlab: Call) -> None:
        Path("pyproject.toml").write_text("[tool.black]\nline-length = 100\n")
        assert archlab("shapes", "lenet").exit_code == 0

    def test_help_says_it(self) -> None:
        assert "[tool.archlab.compare]" in run("--help").out


def trained_time() -> object:
    from archlab.training.estimate import TimeEstimate

    return TimeEstimate(1.0)


def test_the_names_that_complete_are_those_of_the_registry() -> None:
    from archlab.networks import registry

    assert sorted(BUILT_IN) == sorted(set(networks.names()) - set(registry._plugins()))
    assert network_names("resnet1") == ["resnet18", "resnet101", "resnet110", "resnet152"]
    assert "torchvision:vgg16" in network_names("torchvision:vgg1")
    assert network_names("nowhere:") == []


def test_columns_complete_behind_a_comma() -> None:
    assert column_names("kind,sha") == ["kind,share-parameters", "kind,share-macs", "kind,share"]
    assert column_names("+sav") == ["+saved"]
    assert "kind,kind" not in column_names("kind,k")


@pytest.mark.usefixtures("no_training")
def test_runs_complete(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    archlab("train", "lenet")
    key = open_store().runs()[0].key
    assert run_keys(key[:8]) == [key]
    assert run_keys("new") == ["newest"]


def test_the_shell_is_answered(archlab: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from archlab.cli.app import app

    words = {"_ARCHLAB_COMPLETE": "complete_bash", "COMP_WORDS": "archlab shapes dense", "COMP_CWORD": "2"}
    shown = CliRunner().invoke(app, [], prog_name="archlab", env=words).stdout.split()
    assert "densenet121" in shown
    assert all(name.startswith("dense") for name in shown)
