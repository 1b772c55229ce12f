"""How long a command takes to start: beside `import torch`, and `archlab --help` alone.

    python -m benchmarks.start

The commands run in turn, so that a slow moment of the machine falls on all of them alike; medians are compared. Goals:
`archlab shapes densenet --input 96` at most 1.12 times `python -c "import torch"` when it is asked for the first time,
0.4 s when it is asked again; `archlab --help` at most 0.3 s.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

ARCHLAB = [sys.executable, "-c", "from archlab.cli.app import main; main()"]
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "archlab --help": [*ARCHLAB, "--help"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
    "archlab shapes densenet, first": [*ARCHLAB, "shapes", "densenet", "--input", "96", "--no-cache"],
    "archlab shapes densenet, again": [*ARCHLAB, "shapes", "densenet", "--input", "96"],
}
LONGEST_RATIO = 1.12
LONGEST_AGAIN, LONGEST_HELP = 0.4, 0.3
"""Seconds."""


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    """Measure, print, and say whether the goals are met: 0 if so, else 1."""
    parser = argparse.ArgumentParser(description="Measure how long commands take to start.")
    parser.add_argument("--rounds", type=int, default=11, help="runs of each command (default: 11)")
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            taken = seconds(command)
            if number:  # the first round warms the file cache
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        low, high = min(times[name]), max(times[name])
        print(f"{name:<36} {median:6.3f} s  ({low:.3f} to {high:.3f}, n={rounds})")
    _, shown, imported, first, again = medians.values()
    ratio = first / imported
    print(f"first / import torch: {ratio:.2f} (at most {LONGEST_RATIO})")
    print(f"again: {again:.2f} s (at most {LONGEST_AGAIN}); --help: {shown:.2f} s (at most {LONGEST_HELP})")
    return 0 if ratio <= LONGEST_RATIO and again <= LONGEST_AGAIN and shown <= LONGEST_HELP else 1


if __name__ == "__main__":
    sys.exit(main())
