"""Somebody's code may raise, print and change what it likes: it ends in one message, and the process is as it was."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import archlab
from archlab.errors import ArchlabError
from archlab.networks.strangers import described, words
from tests.cli.conftest import Call
from tests.cli.conftest import archlab as command  # noqa: F401

ENDS = {
    "exit": "sys.exit(0)",
    "exit with words": "sys.exit('no such thing')",
    "exit at once": "os._exit(0)",
    "generator": "raise GeneratorExit",
    "child": "raise type('Child', (BaseException,), {})('own words')",
    "error": "raise ValueError('own words')",
    "no words": "raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})()",
    "megabytes": "raise ValueError('x' * 5_000_000)",
    "controls": "raise ValueError('\\x1b[31mred\\x00\\r\\u202e')",
    "recursion": "f = lambda: f(); f()",
    "memory": "raise MemoryError",
    "assertion": "assert False",
}
"""What somebody's code ends by."""
CHANGES = {
    "dtype": "torch.set_default_dtype(torch.float64)",
    "device": "torch.set_default_device('meta')",
    "gradients": "torch.set_grad_enabled(False)",
    "determinism": "torch.use_deterministic_algorithms(True)",
    "folder": "os.chdir('/')",
    "path": "sys.path.insert(0, '/nowhere')",
    "environment": "os.environ['ARCHLAB_TEST'] = '1'; os.environ.pop('HOME', None)",
    "torch's draws": "torch.manual_seed(7)",
    "Python's draws": "random.seed(7)",
    "NumPy's draws": "np.random.seed(7)",
    "recursion limit": "sys.setrecursionlimit(3000)",
    "warnings": "warnings.simplefilter('ignore')",
    "interrupts": "signal.signal(signal.SIGINT, signal.SIG_IGN)",
    "excepthook": "sys.excepthook = print",
    "precision": "torch.set_float32_matmul_precision('high')",
}
"""What somebody's code changes of the process."""
PLACES = ("file", "constructor", "forward")
FILE = """
import os, random, signal, sys, warnings
import numpy as np
import torch
from torch import nn
def act(place):
    if place == {place!r}:
        {change}
        {end}
act("file")
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 2)
        act("constructor")
    def forward(self, x):
        act("forward")
        return self.linear(x)
"""


def state() -> list[object]:
    import signal
    import warnings

    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return [
        torch.get_default_dtype(),
        None if device is None else device.device,
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_float32_matmul_precision(),
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state(legacy=False)["state"]["key"].tolist(),
        Path.cwd(),
        list(sys.path),
        dict(os.environ),
        sys.getrecursionlimit(),
        sys.excepthook,
        list(warnings.filters),
        signal.getsignal(signal.SIGINT),
        os._exit,
    ]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    numbers = itertools.count()

    def write(place: str, change: str = "pass", end: str = "pass") -> str:
        path = tmp_path / f"net{next(numbers)}.py"
        path.write_text(FILE.format(place=place, change=change, end=end))
        return f"{path}:Net"

    return write


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_it_is_one_message(place: str, end: str, written: Callable[..., str]) -> None:
    before = state()
    with pytest.raises(ArchlabError) as caught:
        archlab.trace(written(place, end=ENDS[end]), "1x4")
    assert state() == before
    assert len(str(caught.value)) < 5_000
    assert not any(ord(letter) < 32 and letter != "\n" for letter in str(caught.value))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", CHANGES)
def test_whatever_it_changes_is_put_back(place: str, change: str, written: Callable[..., str]) -> None:
    before = state()
    archlab.trace(written(place, change=CHANGES[change]), "1x4")
    assert state() == before
    with pytest.raises(ArchlabError):
        archlab.trace(written(place, change=CHANGES[change], end="raise ValueError"), "1x4")
    assert state() == before


def test_what_a_file_sets_holds_for_its_network_each_time(written: Callable[..., str]) -> None:
    source = written("file", change="torch.set_default_dtype(torch.float64)")
    for _ in range(2):
        assert next(archlab.build(source).parameters()).dtype == torch.float64
        assert torch.get_default_dtype() == torch.float32


def test_a_network_that_is_built_twice_has_other_weights_each_time() -> None:
    first, second = (next(archlab.build("lenet").parameters()) for _ in range(2))
    assert not torch.equal(first, second)


def test_interrupts_stay_interrupts(written: Callable[..., str]) -> None:
    with pytest.raises(KeyboardInterrupt, match=r"in the network \(Net\)"):
        archlab.trace(written("forward", end="raise KeyboardInterrupt"), "1x4")


@pytest.mark.parametrize("place", PLACES)
def test_a_gate_is_not_passed_by_accident(place: str, written: Callable[..., str], command: Call) -> None:  # noqa: F811
    result = command("check", written(place, end="sys.exit(0)"), "--input", "1x4", "--max-parameters", "1")
    assert result.exit_code == 2
    assert "SystemExit" in result.stderr


def test_what_it_writes_to_the_descriptor_is_no_data(written: Callable[..., str]) -> None:
    says = "os.write(1, b'HELLO'); print('hello'); os.system('echo hi')"
    call = [sys.executable, "-c", "from archlab.cli.app import main; main()", "shapes", written("forward", says)]
    result = subprocess.run([*call, "--input", "1x4", "--format", "csv"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("path,")
    assert "hello" not in result.stdout.lower()
    assert "HELLO" in result.stderr


def test_no_end_is_an_end(written: Callable[..., str], command: Call) -> None:  # noqa: F811
    source = written("forward", end="while True: pass")
    result = command("shapes", source, "--input", "1x4", "--timeout", "0.5")
    assert result.exit_code == 1
    assert "no end within 0.5 s (--timeout): it was in the network (Net)" in result.stderr


def test_words_are_cut_and_clean() -> None:
    assert words(ValueError("a\n\tb")) == "a\n b"
    assert len(words(ValueError("x" * 10**6))) < 2_100
    assert described(SystemExit(3)) == "SystemExit: 3"
