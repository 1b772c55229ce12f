"""What POSIX alone has is taken away, as on Windows: every module still imports, and the store works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BARE = """
import os, signal, sys, warnings

def refuse(*_, **__):
    raise OSError("no symbolic links here")

sys.modules["fcntl"] = None
for module, name in ((signal, "SIGKILL"), (os, "sched_getaffinity"), (os, "geteuid"), (os, "O_NOFOLLOW")):
    if hasattr(module, name):
        delattr(module, name)
os.symlink = refuse
warnings.filterwarnings("ignore", "only soft file lock is available")  # what filelock says without fcntl
"""

IMPORTS = """
import importlib, pkgutil
import archlab

def fail(name):
    raise ImportError(name)

names = [module.name for module in pkgutil.walk_packages(archlab.__path__, "archlab.", fail)]
for name in names:
    importlib.import_module(name)
print(len(names))
"""

WRITER = """
import time
from archlab.records import Epoch, TrainingConfig
from archlab.store import open_store

writer = open_store(sys.argv[1]).writer(TrainingConfig(), {})
writer.append(Epoch(1, 10, 1.0, 0.5, 0.25, 0.125, 0.75))
print(writer.key, flush=True)
time.sleep(600)
"""

STORE = """
import numpy as np
from filelock import FileLock, SoftFileLock
from archlab.records import Epoch, TrainingConfig
from archlab.reports.live.access import Address, keep_address, last_address
from archlab.store import open_store

assert issubclass(FileLock, SoftFileLock), "the lock still needs fcntl"
store = open_store(sys.argv[1])
ones = np.ones(3, dtype=np.float32)
curves = {"step": np.arange(1, 4), "train_loss": ones, "train_accuracy": ones}
epoch = Epoch(1, 3, 1.0, 0.5, 0.25, 0.125, 0.75)
(killed,) = store.runs()
print(killed.status, len(killed.epochs), sorted(item.name for item in (store.path / "locks").iterdir()))
with store.writer(TrainingConfig(seed=1), {}) as writer:
    print(store.run(writer.key).status)
    writer.append(epoch)
    writer.finish(curves)
print(store.run(writer.key).status, len(store.curves(writer.key)["step"]))
with store.writer(TrainingConfig(), {}) as writer:
    writer.append(epoch)
    writer.finish(curves)
print([run.status for run in store.runs()], store.problems())
for run in store.runs():
    store.delete(run.key)
print(store.runs(), [*(store.path / "runs").iterdir()])
keep_address(store.address_path, Address("t" * 32, 1234))
assert last_address(store.address_path).port == 1234
"""


def bare(program: str, *arguments: str | Path) -> list[str]:
    """The lines that a program prints where nothing is that POSIX alone has."""
    done = subprocess.run(
        [sys.executable, "-c", BARE + program, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_module_imports() -> None:
    (count,) = bare(IMPORTS)
    assert int(count) > 200


def test_the_store_writes_reads_holds_and_deletes(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BARE + WRITER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("lenet-digits-seed0-")
        (line,) = bare(
            "from archlab.store import open_store; print(open_store(sys.argv[1]).runs()[0].status)", tmp_path
        )
        assert line == "running"
        process.kill()
    assert bare(STORE, tmp_path) == [
        "interrupted 1 []",
        "running",
        "finished 3",
        "['finished', 'finished'] []",
        "[] []",
    ]
