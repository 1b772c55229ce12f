"""What archlab's verdicts find in planted faults, and in networks with nothing wrong.

    python -m benchmarks.faults [--data-dir DATA | --dataset digits] [--only TEXT] [-o FILE.json] [--markdown]

Each fault is planted into LeNet or ResNet-20 (or into its data, or its training), which is trained briefly on the CPU,
one seed, and examined as `archlab runs show` does. It is a hit if a verdict (a problem, a warning or a note) names the
right cause, and a false alarm if a problem or warning names another: neither the symptoms of `fault.SYMPTOMS`, which a
fault may well have, nor what the fault's `also` says is true too. Healthy networks must get neither problem nor
warning. Leaves with 1 where a fault is missed or there is a false alarm.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from archlab.training.images import data_folder
from benchmarks.faults import data, healthy, norms, signals
from benchmarks.faults.fault import Fault, Outcome, tried

COLUMNS = ("fault", "network", "expected", "found", "test accuracy", "result")


def main() -> int:
    """Train, examine, and print the table."""
    parser = argparse.ArgumentParser(description="Planted faults, and what the verdicts say of them.")
    parser.add_argument("--dataset", default="fashion-mnist", help="fashion-mnist, or digits")
    parser.add_argument("--data-dir", default=None, help="where Fashion-MNIST lies; else $ARCHLAB_DATA")
    parser.add_argument("--only", default="", help="faults whose name, network or check has this in it")
    parser.add_argument("-o", "--output", default="", help="JSON of all verdicts, written here")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    given = parser.parse_args()
    every = [*data.faults(), *signals.faults(), *norms.faults(), *healthy.faults()]
    chosen = [fault for fault in every if given.only in f"{fault.name} {fault.network} {fault.expected}"]
    outcomes = []
    started = time.perf_counter()
    for fault in chosen:
        outcome = tried(fault, given.dataset, str(data_folder(given.data_dir)))
        outcomes.append(outcome)
        print(" | ".join(_row(outcome)) if not given.markdown else f"| {' | '.join(_row(outcome))} |", flush=True)
    planted = [one for one in outcomes if one.fault.expected]
    cleared = [one for one in outcomes if not one.fault.expected]
    wrong = [one for one in outcomes if one.false_alarms]
    print(
        f"\n{sum(one.is_hit for one in planted)} of {len(planted)} planted faults found with the right cause; "
        f"{sum(one.is_hit for one in cleared)} of {len(cleared)} healthy networks cleared; "
        f"{sum(len(one.false_alarms) for one in outcomes)} false alarms in {len(wrong)} trainings; one seed each, "
        f"{given.dataset}, {time.perf_counter() - started:.0f} s"
    )
    print("\ncheck | planted | found | false alarms")
    for check, numbers in by_check(outcomes).items():
        print(f"{check} | {' | '.join(map(str, numbers))}")
    if given.output:
        Path(given.output).write_text(json.dumps([_document(one) for one in outcomes], indent=2), encoding="utf-8")
    return 0 if all(one.is_hit for one in outcomes) and not wrong else 1


def by_check(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int, int]]:
    """Check -> faults that are its to find, how many of them it found, and trainings in which it was a false alarm."""
    checks = dict.fromkeys(check for one in outcomes for check in (*one.fault.expected, *one.false_alarms))
    return {
        check: (
            sum(check in one.fault.expected for one in outcomes),
            sum(check in one.fault.expected and check in one.named for one in outcomes),
            sum(check in one.false_alarms for one in outcomes),
        )
        for check in checks
    }


def _row(outcome: Outcome) -> list[str]:
    fault = outcome.fault
    found = ", ".join(
        f"{one.check} ({one.level})" for one in outcome.examination.verdicts if _is_told(fault, one.level)
    )
    accuracy = "-" if outcome.accuracy is None else f"{100 * outcome.accuracy:.0f} %"
    result = "hit" if fault.expected else "cleared"
    if not outcome.is_hit:
        result = "MISS" if fault.expected else "NOT CLEARED"
    if outcome.false_alarms and fault.expected:
        result += f", false alarm: {', '.join(outcome.false_alarms)}"
    return [fault.name, fault.network, " or ".join(fault.expected) or "nothing", found or "nothing", accuracy, result]


def _is_told(fault: Fault, level: str) -> bool:
    return level in ("problem", "warning") or (level == "note" and bool(fault.expected))


def _document(outcome: Outcome) -> dict[str, object]:
    fault = outcome.fault
    return {
        "fault": fault.name,
        "network": fault.network,
        "expected": list(fault.expected),
        "hit": outcome.is_hit,
        "false_alarms": list(outcome.false_alarms),
        "status": outcome.status,
        "test_accuracy": outcome.accuracy,
        "verdicts": outcome.examination.to_dict()["verdicts"],
    }


if __name__ == "__main__":
    sys.exit(main())
