"""Command lines at random: none ends in a traceback, hangs, takes a gigabyte, or leaves with another code than 0, 1, 2.

    python -m tests.faults.commands [--tries N] [--seed S] [--only COMMAND]

Each command line is made of a command, some of its arguments and options (read from the application itself) and values
of many kinds: right ones, empty ones, names of folders, devices and pipes, numbers far out of range, words of other
alphabets, controls, damaged files. It runs in a copy of this process, and may take what `children.py` says. What
is violated is printed with the command line that did it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.children import Result, in_a_copy

CODES = (0, 1, 2, 130, 141)
SKIPPED = {"serve", "experiment run", "compare", "train", "landscape"}
"""Commands that by their nature go on; of these only what they refuse is tried, by options that they can't take."""
VALUES = (
    "", " ", ".", "..", "/", "/dev/null", "/dev/full", "/nonexistent/x", "fifo", "folder", "a" * 300, "é∂ß", "\x1b[31m",
    "x\ny", "-1", "0", "1", "3", "2147483648", "9" * 30, "1e309", "nan", "inf", "-inf", "0.5", "none", "all", "on",
    "off", "true", "K=V", "norm=none", "=", "a=b=c", "lenet", "resnet20", "lenett", "torchvision:resnet18", "timm:x",
    "hf:", "hf:a/b", "hf:folder", "mine.py:Net", "mine.py:Exit", "mine.py:Cycle", "mine.py:", "mine.py", "os:getcwd",
    "no.such:Thing", "trace.json", "run.json", "bad.json", "deep.json", "latin.json", "empty.json", "bad.onnx",
    "bad.pt2", "bad.pt", "bad.safetensors", "ids.npy", "huge.npy", "1x28x28", "28", "3x224x224", "0x0", "1x-1x3",
    "1x1x28x28:int64=randint(0,10)", "x=@ids.npy", "x=@huge.npy", "x=@/dev/zero", "99999999999", "1x99999999999=ones",
    "newest", "digits", "fashion-mnist", "photos", "out.html", "out.csv", "out.json", "out.xyz", "csv", "json", "html",
    "markdown", "table", "path,macs", "params", "+saved", "help", "24GB", "8", "forward", "float16", "\udcff",
)  # fmt: skip
NETWORK = """
import sys
from torch import nn
class Net(nn.Linear):
    def __init__(self):
        super().__init__(28, 3)
class Exit(nn.Module):
    def forward(self, x):
        sys.exit(0)
class Cycle(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(28, 3))
        self.inner.outer = self
    def forward(self, x):
        return self.inner[0](x)
"""


def violation(found: Result) -> str:
    """What a command did that none may do; empty where nothing."""
    if found.violation:
        return found.violation
    if found.code not in CODES:
        return f"exit code {found.code}"
    return "" if found.code != 2 or "rror" in found.output or "sage" in found.output else "no word of what is wrong"


def prepare(folder: Path) -> None:
    """Files that the values name."""
    import numpy as np

    (folder / "folder").mkdir()
    (folder / "mine.py").write_text(NETWORK)
    (folder / "bad.json").write_text('{"schema": "archlab.run/1", "key": 3}')
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "latin.json").write_bytes(b'{"schema": "\xe9\xff"}')
    (folder / "empty.json").write_text("")
    for name in ("bad.onnx", "bad.pt2", "bad.pt", "bad.safetensors"):
        (folder / name).write_bytes(b"\x08\xff\xff\xff\xff\xff\xff\xff\x7f" + bytes(50))
    np.save(folder / "ids.npy", np.arange(28, dtype=np.float32).reshape(1, 28))
    header = np.lib.format.header_data_from_array_1_0(np.zeros(1)) | {"shape": (10**13,)}
    with (folder / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    os.mkfifo(folder / "fifo")
    for kind in ("a", "b"):
        (folder / "photos" / kind).mkdir(parents=True)
        (folder / "photos" / kind / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    import archlab

    (folder / "trace.json").write_text(archlab.trace("lenet").to_json())
    run = archlab.train("lenet", epochs=1, train_samples=64, test_samples=32, store=folder / "store", progress=False)
    (folder / "run.json").write_text(run.to_json())


def every_command() -> dict[str, Any]:
    """Each command by its words."""
    import typer

    from archlab.cli.app import app

    group: Any = typer.main.get_command(app)
    found: dict[str, Any] = {}
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        inner = getattr(command, "commands", None)
        found |= {f"{name} {other}": one for other, one in inner.items()} if inner else {name: command}
    return found


def made(chance: random.Random, commands: dict[str, Any]) -> list[str]:
    """A command line."""
    name = chance.choice(list(commands))
    words = name.split()
    for parameter in commands[name].params:
        if parameter.param_type_name == "argument":
            for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
                words.append(chance.choice(("lenet", "mine.py:Net", "newest", chance.choice(VALUES))))
        elif chance.random() < 0.15:
            words.append(chance.choice(parameter.opts))
            if not parameter.is_flag:
                words.append(chance.choice(VALUES))
    if name in SKIPPED:  # nothing that goes on for long
        words += ["--workers", "0"] if name == "compare" else ["--store", "/dev/null"]
    if chance.random() < 0.05:
        words.insert(chance.randrange(len(words) + 1), chance.choice(VALUES))
    return words


def run(words: list[str], folder: Path) -> Result:
    """What a copy of this process does with a command line, in a folder."""

    def act() -> None:
        sys.argv = ["archlab", *words]
        from archlab.cli.app import main

        main()

    return in_a_copy(act, folder / "output")


def main(arguments: list[str] | None = None) -> int:
    """Try as many as were asked for, and print what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="the command to try")
    chosen = parser.parse_args(arguments)
    import torch

    import archlab.analysis.diff
    import archlab.networks
    import archlab.tracing  # noqa: F401

    torch.set_num_threads(1)  # a copy of a process has none of its threads
    commands = {name: one for name, one in every_command().items() if name.startswith(chosen.only)}
    codes: Counter[int] = Counter()
    violated = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.chdir(folder)
        prepare(folder)
        os.environ |= {
            "ARCHLAB_STORE": str(folder / "store"),
            "BROWSER": "true",
            "ARCHLAB_CACHE": str(folder / "cache"),
        }
        for place in range(chosen.tries):
            words = made(random.Random(f"{chosen.seed}/{place}"), commands)
            found = run(words, folder)
            codes[found.code] += 1
            if wrong := violation(found):
                violated += 1
                shown = json.dumps(shlex.join(words))
                last = found.output.strip().splitlines()[-1:] or [""]
                print(f"{wrong} ({found.seconds:.1f} s): archlab {shown}\n    {last[0][:300]}", flush=True)
    print(f"{chosen.tries - violated} of {chosen.tries} command lines as promised; exit codes {dict(codes)}")
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
