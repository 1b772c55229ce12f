"""Networks given as objects: modules, classes and functions, of a file, of a script, of a notebook."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archlab
from archlab.errors import InputError, SourceError
from archlab.networks import resolve
from archlab.networks.given import source_of, switched
from archlab.training.definitions import definition

SHORT: dict[str, Any] = {"epochs": 1, "train_samples": 64, "test_samples": 32}
NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=10, norm="batch"):
        super().__init__()
        self.first = nn.Linear(64, 16)
        self.norm = nn.BatchNorm1d(16) if norm == "batch" else nn.Identity()
        self.second = nn.Linear(16, classes)

    def forward(self, x):
        return self.second(self.norm(self.first(x.flatten(1))).relu())
"""
COMPARE = """
import archlab
short = {"epochs": 1, "train_samples": 64, "test_samples": 32, "seeds": 2}
found = archlab.compare(Net, bn="off", store="runs", **short)
print(*found.runs)
"""


class Net(nn.Module):
    """A linear layer on digits of 8 x 8."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.linear = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.linear(x.flatten(1))
        return result


def run_script(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(text)
    command = [sys.executable, *options, "script.py"]
    env_path = str(Path(archlab.__file__).parents[1])
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": env_path}
    )


def test_a_class_of_a_module_is_named_by_its_source() -> None:
    assert source_of(Net).name == f"{__name__}:Net"
    assert not source_of(Net).local
    assert source_of(Net, {"classes": 3}).build()(torch.rand(2, 64)).shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: Net(), "Net()"),
        (lambda: lambda: Net(), f"{__name__}:<lambda>.<locals>.<lambda>"),
    ],
)
def test_what_only_this_process_has_says_so(make: Callable[[], Any], name: str) -> None:
    found = source_of(make())
    assert found.name.endswith(name.rpartition(":")[2])
    assert found.local
    with pytest.raises(SourceError, match=r"write it.*FILE\.py"):
        resolve(found.name)


def test_a_module_is_trained_from_its_weights_and_stays_as_it_was(tmp_path: Path) -> None:
    network = Net().eval()
    before = {name: held.clone() for name, held in network.state_dict().items()}
    state = torch.get_rng_state()
    first = archlab.train(network, store=tmp_path, **SHORT)
    assert all(torch.equal(before[name], held) for name, held in network.state_dict().items())
    assert not network.training
    assert torch.equal(state, torch.get_rng_state())
    assert first.status == "finished"
    with torch.no_grad():
        network.linear.bias.add_(1)
    assert archlab.train(network, store=tmp_path, **SHORT).key != first.key  # other first weights, another run


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: archlab.compare(Net(), bn="off"),
            "Net has no BatchNorm layer, so that there is nothing for norm=none",
        ),
        (lambda: archlab.compare(Net(), lr=[0.1, 0.2], workers=2), r"workers is 2.*leave workers out.*FILE\.py:NAME"),
        (lambda: archlab.compare(3, bn="off"), "network is of type int"),  # type: ignore[arg-type]
        (lambda: archlab.train(Net(), skip="off"), "no skip connection of Net can be switched off: it adds nothing"),
        (lambda: archlab.train(nn.Sequential(nn.Flatten(), nn.LazyLinear(10))), r"lazy.*\(1\.weight\).*run one batch"),
        (lambda: archlab.trace(Net(), ["1x64"], classes=3), "built already"),
        (lambda: archlab.train("lenet", bn="sometimes"), "expected one of on, off, scratch"),  # type: ignore[arg-type]
        (lambda: archlab.train("lenet", lr=0.1, learning_rate=0.1), "given twice"),
        (lambda: archlab.train("lenet", bn="off", options={"norm": "none"}), "leave one of them out"),
    ],
)
def test_what_can_not_work_says_what_to_do(call: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        call()


def test_the_commands_names_are_taken() -> None:
    run = archlab.train("lenet", bn="off", lr=0.01, **SHORT)
    assert run.config.options == {"norm": "none"}
    assert run.config.learning_rate == 0.01
    assert archlab.trace("lenet", bn="off").totals.parameters == 44_426
    assert switched({"bn": 3}) == {"bn": 3}  # a factory's own option of that name


def test_settings_of_a_module_are_compared_in_this_process(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"Net\(\) is a module.*in this process"):
        found = archlab.compare(Net(), lr=[0.001, 0.01], seeds=2, store=tmp_path, **SHORT)
    assert [variant.name for variant in found.variants] == ["lr=0.001", "lr=0.01"]
    assert len(set(found.runs)) == 4


def test_a_class_traces_as_its_module_does() -> None:
    assert archlab.trace(Net, ["1x1x8x8"]).totals.parameters == 64 * 10 + 10
    assert archlab.trace(Net, ["1x1x8x8"], classes=3).totals.parameters == 64 * 3 + 3


def test_a_class_of_the_running_script_is_compared_without_a_main_guard(tmp_path: Path) -> None:
    first, again = (run_script(tmp_path, NET + COMPARE) for _ in range(2))
    assert len(set(first.stdout.split())) == 4
    assert first.stdout == again.stdout  # the keys
    assert "Net is defined in a notebook or in the running script" in first.stderr
    assert "script.py:" in first.stderr  # the warning points at the call


def test_a_class_of_a_file_is_trained_by_other_processes(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    done = run_script(tmp_path, "from net import Net\n" + COMPARE, "-W", "error")  # nothing warns
    assert len(set(done.stdout.split())) == 4
    assert all(key.startswith("net-Net-") for key in done.stdout.split())


def test_a_notebook_trains_its_classes_and_shows_a_bar(tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient", reason="runs notebooks")
    pytest.importorskip("ipykernel", reason="the kernel of notebooks")
    nbformat = pytest.importorskip("nbformat", reason="comes with nbclient")
    cells = [NET, COMPARE, "found", "found.runs[0], [found.differences[0]]", NET.replace("relu", "tanh"), COMPARE]
    paths = f"import sys; sys.path.insert(0, {str(Path(archlab.__file__).parents[1])!r})"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in [paths, *cells]])
    kernel = nbclient.NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    kernel.execute()
    _, _, compared, shown, listed, _, changed = [cell.outputs for cell in book.cells]
    (bar,) = [output for output in compared if output.output_type == "display_data"]
    assert bar.data["text/plain"].startswith("4 of 4 runs: 4 finished")
    assert "text-align:left" in bar.data["text/html"]
    assert '<table class="archlab-table">' in shown[0].data["text/html"]
    assert shown[0].data["text/plain"].splitlines()[2].startswith("__main__:Net on digits")
    assert "Difference(" in listed[0].data["text/plain"]  # inside a list it is its repr
    keys = [next(o.text for o in outputs if o.get("name") == "stdout").split() for outputs in (compared, changed)]
    assert len({*keys[0], *keys[1]}) == 8  # a changed forward is another network, though its weights are the same


def test_a_definition_sees_the_functions_that_it_calls() -> None:
    def defined(text: str) -> bytes:
        scope: dict[str, Any] = {"__name__": "cell"}
        exec(text, scope)
        kind: type = scope["Net"]
        return definition(kind)

    text = (
        "def act(x):\n    return x + SHIFT\nSHIFT = 1\nclass Net:\n    def forward(self, x):\n        return act(x)\n"
    )
    assert defined(text) == defined("\n\n" + text)  # where it stands is no matter
    for before, after in (("SHIFT = 1", "SHIFT = 2"), ("x + SHIFT", "x - SHIFT"), ("return act(x)", "return x")):
        assert defined(text) != defined(text.replace(before, after))
