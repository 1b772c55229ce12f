"""Each guard of what archlab promises, taken out in turn: a test must fail without it.

    python -m tests.faults.guards [NAME...]

A copy of archlab gets one line changed, and the tests that hold the promise run on the copy; they must fail there, and
pass on a copy that is unchanged. A guard whose line is not found, or which no test misses, is named, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 300.0
COPIED = ("archlab", "cli", "reports", "tests", "docs", "pyproject.toml", "README.md", "ARCHITECTURE.md")


class Guard(NamedTuple):
    """One guard, and the tests that miss it."""

    name: str
    file: str
    line: str
    without: str
    tests: str


GUARDS = (
    Guard(
        "a record names no code that is run",
        "archlab/networks/recorded.py",
        "if reason := _danger(network, options):",
        "if reason := '':",
        "tests/cli/test_promises.py",
    ),
    Guard(
        "a folder's pyproject.toml chooses no code",
        "cli/common/defaults.py",
        "if parameter.name in NAMING_CODE and isinstance(one, str) and CODE.search(one):",
        "if False:",
        "tests/cli/test_promises.py",
    ),
    Guard(
        "a .pt2 file is looked through before torch reads it",
        "archlab/networks/sources.py",
        "refuse_program(path)",
        "pass",
        "tests/networks/test_programs.py",
    ),
    Guard(
        "a run's key is the name of its folder",
        "archlab/store/run_folder.py",
        "if run.key != self.key:",
        "if False:",
        "tests/cli/test_promises.py tests/store",
    ),
    Guard(
        "a network that ends the program doesn't",
        "archlab/networks/strangers.py",
        "raise EndedError(words(error)) from error",
        "raise",
        "tests/networks/test_strangers.py",
    ),
    Guard(
        "what a network's code changes is put back",
        "archlab/networks/strangers.py",
        "with contextlib.suppress(Exception):\n                put(value)",
        "with contextlib.suppress(Exception):\n                pass",
        "tests/networks/test_strangers.py",
    ),
    Guard(
        "the live page asks for its token",
        "reports/live/access.py",
        'if secrets.compare_digest(given.encode(errors="replace"), self.token):',
        "if True:",
        "tests/reports/test_live.py",
    ),
    Guard(
        "strangers' connections end",
        "reports/live/connections.py",
        "self._ends = self.loop.call_later(STRANGER_SECONDS, transport.abort)",
        "self._ends = self.loop.call_later(1e6, transport.abort)",
        "tests/reports/test_live.py",
    ),
    Guard(
        "what takes more memory than is free is refused",
        "archlab/memory.py",
        "if free is not None and needed > free:",
        "if False:",
        "tests/training/test_hostile_images.py -k memory_is_asked",
    ),
    Guard(
        "weights are read without running anything",
        "archlab/normalisation/weights.py",
        "weights_only=True)",
        "weights_only=False)",
        "tests/normalisation",
    ),
    Guard(
        "a run that another process trains is not trained twice",
        "archlab/training/session.py",
        "with store.claim(key) as ours:",
        "with contextlib.nullcontext(True) as ours:",
        "tests/training/test_workers.py",
    ),
    Guard(
        "a worker that is silent is ended",
        "archlab/training/engines/pool.py",
        "if not worker.hung and worker.hangs:",
        "if False:",
        "tests/training/test_workers.py",
    ),
    Guard(
        "a run whose machine is lost is taken up again",
        "archlab/training/engines/pool.py",
        "return self.losses[job] <= MOST_LOSSES",
        "return False",
        "tests/training/engines/test_pool.py",
    ),
    Guard(
        "what another machine names lies in the store",
        "archlab/store/replica.py",
        "            _check(part.folder, part.name)",
        "            pass",
        "tests/store/test_replica.py",
    ),
    Guard(
        "a document that is not as it was written is damaged",
        "archlab/store/sealing.py",
        "    if tail != _BEFORE",
        "    if not tail and tail != _BEFORE",
        "tests/store",
    ),
    Guard(
        "an array file that is not as it was written is damaged",
        "archlab/store/contents.py",
        'return "" if sum_of(path) in allowed else',
        'return "" if True else',
        "tests/store",
    ),
    Guard(
        "a checkpoint that is not as it was written is none",
        "archlab/store/checkpoints.py",
        "return content if self.path.name == _name(self.step, content) else None",
        "return content",
        "tests/training/test_resuming.py -k damaged",
    ),
    Guard(
        "a resumed run draws what it would have drawn",
        "archlab/training/loop.py",
        "seeding.set_states(self._draws, self._device)",
        "seeding.reseed(self._config.seed, 'other')",
        "tests/training/test_resuming.py -k own",
    ),
    Guard(
        "a run of a newer archlab is not trained over",
        "archlab/store/store.py",
        "except (NewerError, DeniedError):",
        "except ZeroDivisionError:",
        "tests/store tests/training/test_session.py",
    ),
    Guard(
        "the index counts while the runs are as they were",
        "archlab/store/columns.py",
        "return now.tobytes() == self.stamps",
        "return True",
        "tests/store/test_index.py",
    ),
    Guard(
        "a run that was changed is read, whatever the index says",
        "archlab/store/survey.py",
        "if stamp is not None and stamp == was",
        "if stamp is not None",
        "tests/store/test_index.py",
    ),
    Guard(
        "a run's key sees the modules that its network imports",
        "archlab/training/environment.py",
        "files |= set(local_files(modules))",
        "pass",
        "tests/networks/test_local_modules.py",
    ),
)


def copied(folder: Path) -> None:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def passes(folder: Path, tests: str) -> bool:
    """Whether tests pass in a copy; one that waits for what never comes doesn't."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests.split()]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=quiet, stderr=quiet, start_new_session=True
    ) as process:
        try:
            return process.wait(PATIENCE_SECONDS) == 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that its tests have started
            return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Take out those that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of the names of guards; all, if there are none")
    chosen = parser.parse_args(arguments)
    wanted = [one for one in GUARDS if not chosen.names or any(name in one.name for name in chosen.names)]
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copied(folder)
        for guard in wanted:
            path = folder / guard.file
            text = path.read_text(encoding="utf-8")
            if text.count(guard.line) != 1:
                found = f"its line stands {text.count(guard.line)} times in {guard.file}"
            else:
                path.write_text(text.replace(guard.line, guard.without), encoding="utf-8")
                found = "no test misses it" if passes(folder, guard.tests) else ""
                path.write_text(text, encoding="utf-8")
            missed += bool(found)
            print(f"{guard.name}: {found or 'missed, as it should be, by ' + guard.tests}", flush=True)
        tests = " ".join(dict.fromkeys(test for guard in wanted for test in guard.tests.split(" -k")[0].split()))
        whole = passes(folder, tests)
    end = "pass" if whole else "fail"
    print(f"{len(wanted) - missed} of {len(wanted)} guards are missed; with all of them, the tests {end}")
    return 0 if whole and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
