"""A store of 30,000 runs: how long the commands that look at it take, and how much memory.

    python -m benchmarks.large [--runs N] [--keep FOLDER] [NAME...]

Makes such a store in a temporary folder, of real records that are written directly, then runs each command in a process
of its own and prints its seconds and its peak of memory beside the goal. Leaves with 1 where a goal is missed. The
modules are compiled before, as in an installation.
`--keep` names a folder that stays, and is used again where it is there already.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

import archlab
from archlab.analysis.comparison import summarise
from archlab.records import Epoch, Run, TrainingConfig, Value
from archlab.records.data import DataSummary, PartSummary
from archlab.store import Store, contents, open_store, run_key
from archlab.store.arrays import write_arrays
from archlab.store.sealing import sealed

RUNS, COMPARISONS = 30_000, 200
SEEDS, EPOCHS, STEPS = 10, 5, 60
VARIANTS = ("batch", "none")
EXPERIMENT = SEEDS * len(VARIANTS)
"""Runs of one experiment."""
NETWORKS = ("lenet", "resnet", "densenet")
ENVIRONMENT: dict[str, Value] = {
    "archlab": "0.1.0",
    "python": "3.11.9",
    "torch": "2.7.0",
    "system": "Linux x86_64",
    "processor": "AMD EPYC AVX2",
    "device": "cpu",
    "threads": 1,
    "data": "5b1f" * 16,
    "network": "c0de" * 16,
    "command": "archlab compare --bn off --seeds 10",
}
ARCHLAB = [sys.executable, "-c", "from archlab.cli.app import main; main()"]
LAUNCHER = """
import os, subprocess, sys, time
start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss, os.waitstatus_to_exitcode(status))
"""
"""A small process, since what it starts counts its memory too until it is a program of its own."""
COMMANDS = {
    "runs list": (["runs", "list"], 2.0, 400.0),
    "runs list, again": (["runs", "list"], 0.5, 400.0),
    "runs list --where": (["runs", "list", "--where", "network=lenet and test_accuracy>0.9"], 1.0, 400.0),
    "runs list --sort --limit": (["runs", "list", "--sort", "test_accuracy", "--limit", "20"], 1.0, 400.0),
    "runs list --json": (["runs", "list", "--json", "--limit", "0"], 10.0, 400.0),
    "runs show newest": (["runs", "show", "newest"], 2.0, 400.0),
    "runs prune --dry-run": (["runs", "prune", "--where", "test_accuracy<0.8", "--dry-run"], 2.0, 400.0),
    "report --all": (["report", "--all"], 60.0, 400.0),
    "report --all, again": (["report", "--all"], 60.0, 400.0),
}
"""Name -> arguments, and the goals: seconds, and megabytes of memory."""
SHORT = 9
"""Times that a command is measured whose goal is a second or less; the median counts."""
FIRST_PAGE, IDLE_SHARE, IDLE_SECONDS, SETTLE_SECONDS = 2.0, 0.01, 30.0, 10.0


def made(number: int, trace: str) -> Run:
    """The run of that number: its experiment, variant and seed follow from it."""
    experiment, place = divmod(number, EXPERIMENT)
    variant, seed = divmod(place, SEEDS)
    config = TrainingConfig(
        network=NETWORKS[experiment % len(NETWORKS)],
        options={"norm": VARIANTS[variant]},
        variant=f"norm={VARIANTS[variant]}",
        seed=seed,
        epochs=EPOCHS,
        learning_rate=0.0001 * (1 + experiment),
    )
    noise = np.random.default_rng(number).random(EPOCHS)
    reached = 0.5 + 0.08 * np.arange(1, EPOCHS + 1) - 0.05 * variant + 0.03 * noise
    epochs = tuple(
        Epoch(
            epoch=place + 1,
            step=STEPS // EPOCHS * (place + 1),
            seconds=0.21 * (place + 1),
            train_loss=float(2.3 - 2 * accuracy),
            train_accuracy=float(accuracy),
            test_loss=float(2.4 - 2 * accuracy),
            test_accuracy=float(accuracy),
            evaluation_seconds=0.01,
            peak_memory_bytes=400_000_000,
        )
        for place, accuracy in enumerate(reached)
    )
    part = PartSummary((144,) * 10, (0.305,), (0.376,), (0.031,), 12.5)
    return Run(
        key=run_key(config, ENVIRONMENT),
        config=config,
        status="finished",
        epochs=epochs,
        environment=ENVIRONMENT,
        created=(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=40 * number)).isoformat(timespec="seconds"),
        parameters=61_706,
        data=DataSummary(tuple("0123456789"), part, replace(part, counts=(36,) * 10), 0),
        predicted=(36,) * 10,
        trace=trace,
    )


def write_runs(folder: Path, numbers: range, trace: str) -> None:
    """Write the runs of these numbers as a store lays them out."""
    curves = folder / f".curves.{numbers.start}"
    steps = np.arange(1, STEPS + 1)
    write_arrays(
        curves,
        {
            "step": steps,
            "train_loss": (2.3 / np.sqrt(steps)).astype(np.float32),
            "train_accuracy": (1 - 0.9 / np.sqrt(steps)).astype(np.float32),
        },
    )
    content = curves.read_bytes()
    curves.unlink()
    for number in numbers:
        run = made(number, trace)
        home = folder / "runs" / run.key
        home.mkdir()
        (home / "run.json").write_text(sealed(run.to_json()), encoding="utf-8")
        (home / "curves.safetensors").write_bytes(content)
        contents.keep(home)


def fill(store: Store, runs: int) -> None:
    """Write runs, a trace of their network, and comparisons of the first of them."""
    from archlab.tracing import trace as traced

    (store.path / "runs").mkdir(parents=True)
    name = store.keep_trace(traced("lenet"))
    parts = [range(start, min(start + 1000, runs)) for start in range(0, runs, 1000)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write_runs, [store.path] * len(parts), parts, [name] * len(parts)))
    for experiment in range(min(COMPARISONS, runs // EXPERIMENT)):
        members = [made(experiment * EXPERIMENT + place, name) for place in range(EXPERIMENT)]
        store.save_comparison(replace(summarise(members), created=members[-1].created))


def measured(store: Path, arguments: list[str]) -> tuple[float, float, float, int]:
    """Seconds of a command in a process of its own, those of a core, its peak of memory in megabytes, its exit code."""
    command = [sys.executable, "-S", "-c", LAUNCHER, *ARCHLAB, *arguments, "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, cpu, kilobytes, code = done.stdout.split()
    if int(code):
        print(done.stderr[-500:], file=sys.stderr)
    return float(seconds), float(cpu), int(kilobytes) / 1024, int(code)


def served(store: Path) -> tuple[float, float, float, float]:
    """Seconds from the start of `archlab serve` to its first page, those of a core, its share while idle, megabytes.

    While it is idle, a page is open and nothing changes in the store.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [*ARCHLAB, "serve", "--port", "8437", "--store", str(store)], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split()[-1]
        urllib.request.urlopen(url).read()
        first, cpu = time.perf_counter() - start, cpu_seconds(process.pid)
        stream = urllib.request.urlopen(f"{url}events")
        threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()
        time.sleep(SETTLE_SECONDS)
        before = cpu_seconds(process.pid)
        time.sleep(IDLE_SECONDS)
        idle = (cpu_seconds(process.pid) - before) / IDLE_SECONDS
        status = Path(f"/proc/{process.pid}/status").read_text()
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
        return first, cpu, idle, peak
    finally:
        process.kill()
        process.wait()


def cpu_seconds(process: int) -> float:
    """What a process has used of a core so far."""
    ticks = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Measure, print, and say whether the goals are met: 0 if so, else 1."""
    parser = argparse.ArgumentParser(description="Measure commands on a large store.")
    parser.add_argument("names", nargs="*", help="what is measured (default: all)", metavar="NAME")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"in the store (default: {RUNS})")
    parser.add_argument("--keep", type=Path, help="make the store there, or use the one that is there")
    given = parser.parse_args()
    home = Path(archlab.__file__).parent
    for part in (home, home / "cli", home / "reports"):
        compileall.compile_dir(part.resolve(), quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(given.keep or Path(folder) / "store")
        if not store.path.exists():
            start = time.perf_counter()
            fill(store, given.runs)
            print(f"{given.runs} runs made in {time.perf_counter() - start:.0f} s\n")
        missed = False
        print(f"{'command':<28} {'seconds':>9} {'goal':>6} {'CPU s':>7} {'MB':>7} {'goal':>6}")
        for name, (arguments, seconds_goal, megabytes_goal) in COMMANDS.items():
            if given.names and name not in given.names:
                continue
            # What takes a moment differs from one to the next by a fifth.
            found = [measured(store.path, arguments) for _ in range(SHORT if seconds_goal <= 1 else 1)]
            seconds, cpu, megabytes, code = (statistics.median(column) for column in zip(*found, strict=True))
            missed |= bool(code) or seconds > seconds_goal or megabytes > megabytes_goal
            print(
                f"{name:<28} {seconds:9.2f} {seconds_goal:6.1f} {cpu:7.2f} {megabytes:7.0f} {megabytes_goal:6.0f}",
                flush=True,
            )
        if not given.names or "serve" in given.names:
            first, cpu, idle, peak = served(store.path)
            missed |= first > FIRST_PAGE or idle > IDLE_SHARE
            print(f"{'serve, first page':<28} {first:9.2f} {FIRST_PAGE:6.1f} {cpu:7.2f} {peak:7.0f}")
            print(f"{'serve, idle':<28} {idle:9.2%} {IDLE_SHARE:6.1%} of a core")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
