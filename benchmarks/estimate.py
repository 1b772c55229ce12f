"""How near the time that a comparison announces comes to the time that it takes.

    python -m benchmarks.estimate [--data-dir DATA] [--only TEXT]

The course's three networks and sweeps over batch size and depth, each with its estimate (after which the trainings
start, as `archlab compare` does) and the seconds of the trainings. Prints both and their ratio; leaves with 1 where the
estimate is off by more than a factor of 1.5. A machine that does something else meanwhile makes trainings slower.
"""

from __future__ import annotations

import argparse
import sys
import time
from tempfile import TemporaryDirectory
from typing import Any

from archlab.comparing import design
from archlab.training import estimate_time, train_all
from archlab.training.execution import Execution
from archlab.training.preparation import Preparer

FACTOR = 1.5
CASES: dict[str, dict[str, Any]] = {
    "LeNet, with and without BatchNorm": {"network": "lenet", "bn": "off"},
    "LeNet, batch 2 to 256": {"network": "lenet", "batch_size": [2, 16, 256], "seeds": 2},
    "ResNet at 96": {"network": "resnet", "bn": "off", "size": 96, "train_samples": 128, "epochs": 2, "seeds": 2},
    "DenseNet at 96": {"network": "densenet", "bn": "off", "size": 96, "train_samples": 128, "epochs": 2, "seeds": 2},
    "CIFAR ResNets, depth 8 to 32": {
        "network": "resnet20",
        "vary": {"depth": [8, 20, 32]},
        "size": 16,
        "batch_size": 64,
        "epochs": 2,
        "seeds": 2,
    },
}
FASHION: dict[str, dict[str, Any]] = {
    "LeNet on Fashion-MNIST": {"network": "lenet", "bn": "off", "seeds": 2, "train_samples": 12_000, "epochs": 2},
}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The announced time of comparisons beside what they take.")
    parser.add_argument("--data-dir", default="", help="where Fashion-MNIST lies; without it, digits alone")
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    given = parser.parse_args()
    cases = CASES | (
        {name: {**case, "dataset": "fashion-mnist"} for name, case in FASHION.items()} if given.data_dir else {}
    )
    print(f"{'comparison':36}{'estimate':>10}{'took':>10}{'ratio':>8}")
    off = []
    for name, case in cases.items():
        if given.only not in name:
            continue
        designed = design(**case)
        with TemporaryDirectory() as folder:
            execution = Execution(store=folder, data_dir=given.data_dir or None)
            estimate = estimate_time(designed.configs, Preparer(execution)).seconds
            start = time.perf_counter()
            train_all(designed.configs, execution)
            took = time.perf_counter() - start
        ratio = estimate / took
        off += [name] if not 1 / FACTOR <= ratio <= FACTOR else []
        print(f"{name:36}{estimate:8.1f} s{took:8.1f} s{ratio:8.2f}", flush=True)
    print(f"off by more than a factor of {FACTOR:g}: {', '.join(off) or 'none'}")
    return int(bool(off))


if __name__ == "__main__":
    sys.exit(main())
