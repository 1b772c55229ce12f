"""How large a report is, how long it takes to write, and how soon a browser shows it.

    python -m benchmarks.report [--rounds N] [--folder FOLDER]

Fills a store with 2 x 10 runs of DenseNet, each with its own 1,000 recorded steps of all BatchNorm layers, then with
90 more seeds per variant, and measures for both: the size of the page; the time of a fresh process that reads store and
traces and writes it, from the interpreter's start; the same by `archlab report`, which traces the networks anew; and
Chromium from the start of the navigation until the controls work and until the first chart stands in the window. The
page is opened at its top and at its training curves in turn. Rounds take turns; medians are printed beside the limits.
Leaves with 1 where one is not met.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from archlab.analysis.comparison import summarise
from archlab.records import Epoch, NormRecording, Run, Trace, TrainingConfig, Value
from archlab.reports.diagram.picture import find_browser
from archlab.store import Store, open_store

EPOCHS, STEPS = 5, 1000
SIZES = (10, 100)
"""Seeds a variant of the two stores."""
RECORDED = 10
"""Seeds a variant that have a recording."""
VARIANTS = ("norm=batch", "norm=scratch")
ENVIRONMENT: dict[str, Value] = {"python": "3.11", "device": "cpu", "threads": 1}
MEGABYTES = {10: 8.0, 100: 25.0}
WRITE_SECONDS = 3.0
SHOW_SECONDS = 2.0

WRITE = """
import sys
from pathlib import Path
from archlab.records import Trace
from archlab.reports import save
from archlab.store import open_store
folder, key, target = sys.argv[1:4]
store = open_store(Path(folder) / "store")
traces = [Trace.read(path) for path in sorted(Path(folder).glob("*.json"))]
save(target, [store.comparison(key), *traces], store=store)
assert "torch" not in sys.modules
"""
COMMAND = "from archlab.cli.app import main; main()"

WATCH = """
window.seen = {ready: null, drawn: null, tasks: []};
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) seen.tasks.push([task.startTime, task.duration]);
}).observe({type: "longtask", buffered: true});
new MutationObserver((changes) => {
  for (const {target, attributeName} of changes) {
    if (attributeName === "data-ready") seen.ready ??= performance.now();
    if (attributeName === "data-drawn") requestAnimationFrame(() => { seen.drawn ??= performance.now(); });
  }
}).observe(document, {subtree: true, attributes: true, attributeFilter: ["data-ready", "data-drawn"]});
"""
"""Times since the start of the navigation; a chart counts as drawn when the next frame is made."""


def recording(widths: dict[str, int], random: np.random.Generator) -> NormRecording:
    """Batch statistics that drift and scatter, and running ones that follow them with momentum 0.1."""
    grown = 1 - np.exp(-np.arange(STEPS + 1, dtype=np.float32)[:, None] / (STEPS / 3))
    ends = [STEPS * (epoch + 1) // EPOCHS for epoch in range(EPOCHS)]
    layers: dict[str, dict[str, Any]] = {}
    population: dict[str, dict[str, Any]] = {}
    for path, width in widths.items():
        mean = random.normal(0, 1, width).astype(np.float32) * grown
        variance = 0.2 + random.uniform(0.3, 3, width).astype(np.float32) * grown
        batch_mean = mean + 0.1 * random.standard_normal(mean.shape, dtype=np.float32)
        batch_variance = variance * np.exp(0.1 * random.standard_normal(mean.shape, dtype=np.float32))
        batch_mean[0] = batch_variance[0] = np.nan
        running_mean, running_variance = np.zeros_like(mean), np.ones_like(mean)
        for step in range(1, STEPS + 1):
            running_mean[step] = 0.9 * running_mean[step - 1] + 0.1 * batch_mean[step]
            running_variance[step] = 0.9 * running_variance[step - 1] + 0.1 * batch_variance[step]
        walks = 0.01 * random.standard_normal((2, *mean.shape), dtype=np.float32).cumsum(axis=1)
        arrays = (running_mean, running_variance, batch_mean, batch_variance, 1 + walks[0], walks[1])
        layers[path] = dict(zip(NormRecording.QUANTITIES, arrays, strict=True))
        population[path] = {"mean": mean[ends], "variance": variance[ends]}
    return NormRecording(tuple(range(STEPS + 1)), layers, population)


def add_run(store: Store, variant: str, seed: int, widths: dict[str, int]) -> Run:
    """A run whose curves fall and scatter; the first seeds have a recording."""
    random = np.random.default_rng([VARIANTS.index(variant), seed])
    config = TrainingConfig(
        "densenet", {"norm": variant.partition("=")[2]}, variant, seed=seed, epochs=EPOCHS, size=96, train_samples=1437
    )
    fall = np.exp(-np.arange(1, STEPS + 1) / (STEPS / 3))
    loss = 2.3 * fall * np.exp(random.normal(0, 0.15, STEPS)) + 0.05
    accuracy = np.clip(1 - 0.9 * fall + random.normal(0, 0.03, STEPS), 0, 1)
    with store.writer(config, ENVIRONMENT, parameters=758_226) as writer:
        for epoch in range(1, EPOCHS + 1):
            part = slice(STEPS * (epoch - 1) // EPOCHS, STEPS * epoch // EPOCHS)
            last, lag = float(accuracy[part][-20:].mean()), 0.05 * random.random()
            writer.append(
                Epoch(
                    epoch,
                    part.stop,
                    24.3 * epoch,
                    float(loss[part].mean()),
                    float(accuracy[part].mean()),
                    float(loss[part][-20:].mean()),
                    last,
                    float(loss[part][-20:].mean()) + lag,
                    last - lag,
                )
            )
        curves = {"step": np.arange(1, STEPS + 1), "train_loss": loss, "train_accuracy": accuracy}
        return writer.finish(curves, recording(widths, random) if seed < RECORDED else None)


def fill(folder: Path) -> dict[int, str]:
    """The comparison's key for each number of seeds; the traces lie beside the store."""
    from archlab import trace

    found: dict[str, Trace] = {}
    for variant in VARIANTS:
        found[variant] = trace("densenet", norm=variant.partition("=")[2])
        (folder / f"{variant}.json").write_text(found[variant].to_json())
    widths = {
        layer.path: layer.output_shapes[0][1]
        for layer in found[VARIANTS[0]].layers
        if layer.kind.startswith("BatchNorm")
    }
    store = open_store(folder / "store")
    runs: list[Run] = []
    keys = {}
    for size in SIZES:
        known = len(runs) // len(VARIANTS)
        runs += [add_run(store, variant, seed, widths) for seed in range(known, size) for variant in VARIANTS]
        keys[size] = store.save_comparison(summarise(runs, command="archlab compare densenet --bn scratch")).key
    print(f"{len(widths)} BatchNorm layers, {sum(widths.values()):,} channels, {STEPS:,} steps")
    return keys


def seconds(command: Sequence[str | Path]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def shown(browser: Any, path: Path, anchor: str) -> dict[str, float]:
    """Seconds until the controls work and until a chart is drawn, and the longest wait for anything after that."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCH)
    page.goto(f"{path.as_uri()}#{anchor}", wait_until="commit")
    page.wait_for_selector("html[data-ready] body")
    if anchor:
        page.wait_for_selector("figure.chart[data-drawn]")
    page.wait_for_timeout(2000)
    seen = page.evaluate("seen")
    page.close()
    waits = [start + duration - max(start, seen["ready"]) for start, duration in seen["tasks"]]
    found = {"controls work": seen["ready"] / 1000, "longest block after that": max(waits, default=0) / 1000}
    return found | ({"first chart is drawn": seen["drawn"] / 1000} if anchor else {})


def measure(folder: Path, keys: dict[int, str], rounds: int) -> dict[tuple[str, int], list[float]]:
    """What was measured and the seeds per variant -> a value per round; one round more than asked warms the caches."""
    from playwright.sync_api import sync_playwright

    times: dict[tuple[str, int], list[float]] = {}
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for number in range(rounds + 1):
            for size, key in keys.items():
                path, store = folder / f"{key}.html", folder / "store"
                plain = seconds([sys.executable, "-c", WRITE, folder, key, path])
                found = {
                    "size": path.stat().st_size / 1e6,
                    "written, traces given": plain,
                    "tracing adds": seconds(
                        [sys.executable, "-c", COMMAND, "report", key, "--store", store, "-o", folder / "traced.html"]
                    )
                    - plain,
                }
                found |= {f"at the top: {name}": value for name, value in shown(browser, path, "").items()}
                anchor = "densenet-on-digits-training"
                found |= {f"at the curves: {name}": value for name, value in shown(browser, path, anchor).items()}
                for name, value in found.items():
                    if number:
                        times.setdefault((name, size), []).append(value)
        browser.close()
    return times


def limit(name: str, size: int) -> float | None:
    """What a value has to stay under, if anything."""
    if name == "size":
        return MEGABYTES[size]
    if name.startswith("written"):
        return WRITE_SECONDS
    return SHOW_SECONDS if name.endswith(("controls work", "is drawn")) else None


def main() -> int:
    """Measure, print, and say whether the limits are met: 0 if so, else 1."""
    parser = argparse.ArgumentParser(description="Measure a report's size, and the time to write and to show it.")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--folder", type=Path, help="where to work; kept (default: a temporary folder; 2 GB)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        times = measure(folder.resolve(), fill(folder), arguments.rounds)
    met = True
    print(f"{'runs':>4}  {'':<42} {'median':>10}  {'range':>14}  limit")
    for (name, size), values in sorted(times.items(), key=lambda entry: entry[0][1]):
        median, most = statistics.median(values), limit(name, size)
        unit = "MB" if name == "size" else "s"
        met &= most is None or median < most
        bound = "" if most is None else f"{most:g} {unit}{'' if median < most else '  MISSED'}"
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"{len(VARIANTS) * size:>4}  {name:<42} {median:>7.2f} {unit:<2}  {spread:>14}  {bound}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
