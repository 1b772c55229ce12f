"""What trainings reach on an accelerator: comparisons against the course's loop there, ResNet-18 against the peak.

    python -m benchmarks.accelerator --data-dir DATA [-o accelerator.json]

- comparison: 2 x 16 runs of LeNet (with BatchNorm and without, 16 seeds), 5 epochs of the whole Fashion-MNIST in
  batches of 256, by `train_all` with everything that it does: as it chooses (`--stack auto`), as one program per
  variant (`--stack 16`), and one run after the other (`--stack off`). Seconds are those after start-up, from the first
  run's beginning, and all. The course's loop (`benchmarks.loops`: a DataLoader with two workers, one image at a
  time) trains one run of each variant, of as many epochs as `--course-epochs`; its images per second, which more runs
  one after the other would not change, are the other side of the ratio.
- peak: training steps of the course's ResNet-18 at 96 x 96, batch 256, in each precision. FLOPs of a step are three
  times those of its forward pass (a backward pass has two products for each of the forward's), convolutions and linear
  layers alone; the peak is that of a large matrix product in the same precision, measured here.

With no accelerator there is nothing to measure: one message, and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from archlab import trace
from archlab.profiling.machine import machine_of
from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, Progress, train_all
from archlab.training.evaluation import now
from archlab.training.optimizers import optimizer
from archlab.training.precision import products_in
from archlab.training.preparation import Preparer
from archlab.training.step import Step
from benchmarks import loops
from benchmarks.training import NORMS

IMAGES = 60_000
STEPS, WARM = 50, 10
"""Steps of ResNet-18 that are timed, and those before them."""
TYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def comparison(given: argparse.Namespace, device: torch.device) -> dict[str, object]:
    """Images per second of each way, and the ratios to the course's loop."""
    configs = [
        TrainingConfig(
            options={"norm": norm},
            variant=f"norm={norm}",
            dataset="fashion-mnist",
            seed=seed,
            epochs=given.epochs,
            batch_size=256,
        )
        for norm in NORMS
        for seed in range(given.seeds)
    ]
    images = len(configs) * given.epochs * IMAGES
    started = time.perf_counter()
    loops.course(
        [replace(config, epochs=given.course_epochs) for config in (configs[0], configs[-1])],
        given.data_dir,
        str(device),
    )
    course = 2 * given.course_epochs * IMAGES / (time.perf_counter() - started)
    print(f"the course's loop: {course:,.0f} images/s, which makes {images / course:,.0f} s of {len(configs)} runs")
    found: dict[str, object] = {"course_images_per_second": course}
    ways = {"as chosen": "auto", "one program per variant": str(given.seeds), "one after the other": "off"}
    for name, stack in ways.items():
        seconds, whole, said = timed(configs, given, device, stack)
        rate = images / seconds
        print(
            f"{name}: {seconds:.1f} s after start-up ({whole:.1f} s with it), {rate:,.0f} images/s, "
            f"{rate / course:.1f} times the course's loop" + "".join(f"\n  {words}" for words in said),
            flush=True,
        )
        found[name] = {"seconds": seconds, "whole_seconds": whole, "images_per_second": rate, "ratio": rate / course}
    return found


def timed(
    configs: list[TrainingConfig], given: argparse.Namespace, device: torch.device, stack: str
) -> tuple[float, float, list[str]]:
    """Seconds from the first run's beginning, all of them, and what was said of stacks."""
    first: list[float] = []
    said: list[str] = []

    def on_event(event: Progress) -> None:
        if event.state == "stacked":
            said.append(event.error)
        if event.state in ("stacked", "started"):
            first.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        where = Execution(store=open_store(folder), device=str(device), data_dir=given.data_dir, stack=stack)
        started = time.perf_counter()
        runs = train_all(configs, where, on_event)
        ended = time.perf_counter()
    failed = [run.error for run in runs if run.status != "finished"]
    if failed:
        raise SystemExit(f"{len(failed)} runs did not finish: {failed[0]}")
    return ended - min(first), ended - started, said


def peaks(given: argparse.Namespace, device: torch.device) -> list[dict[str, object]]:
    """The share of the peak that steps of ResNet-18 reach, by precision."""
    batch = given.batch
    flops = 3 * trace("resnet", [(batch, 1, 96, 96)]).totals.flops
    found: list[dict[str, object]] = []
    for precision, dtype in TYPES.items():
        if precision == "tf32" and device.type != "cuda":
            continue
        with products_in(precision):
            peak = machine_of(device, dtype).flops.best
            seconds = resnet_seconds(device, precision, batch)
        reached = flops / seconds
        print(
            f"ResNet-18 at 96, batch {batch}, {precision}: {1e3 * seconds:.2f} ms per step, "
            f"{reached / 1e12:.1f} TFLOP/s, {reached / peak:.0%} of the peak of {peak / 1e12:.1f}",
            flush=True,
        )
        found.append({"precision": precision, "seconds": seconds, "flops": reached, "peak": peak})
    return found


def resnet_seconds(device: torch.device, precision: str, batch: int) -> float:
    """Seconds of a training step on images that lie on the device: the median of five stretches."""
    config = TrainingConfig(network="resnet", size=96, batch_size=batch, precision=precision)
    prepared = Preparer(Execution(device=str(device))).prepare(config)
    network = prepared.network().to(device).train()
    images = torch.rand(batch, 1, 96, 96, device=device)
    labels = torch.randint(0, 10, (batch,), device=device)
    step = Step(network, optimizer(config, network.parameters()), images, labels, 1, 0.001, 10)
    for _ in range(WARM):
        step.take()
    stretches = []
    for _ in range(5):
        started = now(device)
        for _ in range(STEPS // 5):
            step.take()
        stretches.append((now(device) - started) / (STEPS // 5))
    return statistics.median(stretches)


def main() -> int:
    """Print what was reached, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="the folder that holds FashionMNIST/raw; without it, ResNet-18 alone")
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--course-epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=256, help="images of a step of ResNet-18")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is None:
        print("there is no accelerator on this machine, and nothing else is measured here", file=sys.stderr)
        return 2
    found: dict[str, object] = {"device": machine_of(device, torch.float32).name, "torch": str(torch.__version__)}
    if given.data_dir:
        found["comparison"] = comparison(given, device)
    found["resnet18"] = peaks(given, device)
    if given.output is not None:
        given.output.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
