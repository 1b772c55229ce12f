"""How fast archlab makes its table, beside torchinfo, from the factory call to the finished text.

    python -m benchmarks.tracing [--models A,B] [--repeat N] [--no-decoder]

Over all of torchvision's classification models, in one process and one thread, taking turns: archlab builds without
weights, traces and writes its table with every layer; torchinfo builds as it does by default, with weights on the CPU,
and makes its summary string with every layer. Prints medians and ratios, then, from processes of their own, the peak of
memory above the imports, and what a decoder of 70 billion parameters in a user's own file takes. Leaves with 1 where
the geometric mean is below 5, any ratio below 1, the memory above 150 MB, or the decoder above 3 s or 600 MB.

The memory is resident memory (the kernel's high-water mark, read where there is /proc), which counts what torch
allocates too; it is the larger of what two of the largest models take.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchinfo
import torchvision

from archlab.networks import resolve
from archlab.tables import text
from archlab.tables.trace import trace_table
from archlab.tracing import trace

LARGEST_MODELS = ("vit_h_14", "regnet_y_128gf")
"""Models with the most parameters."""
DECODER = f"{Path(__file__).parent / 'decoder_70b.py'}:decoder"

CHILD = """
import sys, time, warnings
warnings.simplefilter("ignore")
from archlab.networks import resolve
from archlab.tables import text
from archlab.tables.trace import trace_table
from archlab.tracing import trace
import torchvision.models

def memory(entry):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(entry))) * 1024

trace("lenet")
open("/proc/self/clear_refs", "w").write("5")  # forget the peak of the imports
before, start = memory("VmRSS"), time.perf_counter()
text(trace_table(trace(sys.argv[1], [sys.argv[2]] if sys.argv[2:] else None), None, unfold=True))
print(time.perf_counter() - start, memory("VmHWM") - before)
"""


def with_archlab(name: str) -> str:
    """The table of every layer."""
    return text(trace_table(trace(f"torchvision:{name}"), None, unfold=True))


def with_torchinfo(name: str) -> str:
    """The summary of every layer, on the inputs that archlab takes."""
    network = torchvision.models.get_model(name, weights=None)
    shape = resolve(f"torchvision:{name}").input_shapes[0]
    return str(torchinfo.summary(network, input_size=shape, depth=20, verbose=0))


def seconds(make: Callable[[str], str], name: str) -> float:
    """Wall-clock time of one call, with no garbage left over from another."""
    gc.collect()
    start = time.perf_counter()
    make(name)
    return time.perf_counter() - start


def alone(*arguments: str) -> tuple[float, float]:
    """Seconds, and bytes above the imports at the peak, of a trace in a process of its own."""
    done = subprocess.run([sys.executable, "-c", CHILD, *arguments], capture_output=True, text=True, check=True)
    took, memory = done.stdout.split()
    return float(took), float(memory)


def compare(models: list[str], repeat: int) -> bool:
    """Print the table of times; whether they are good enough."""
    print(f"{'model':24}{'archlab':>12}{'torchinfo':>12}{'ratio':>8}")
    with_archlab("alexnet")  # what is imported on first use
    with_torchinfo("alexnet")
    ratios: dict[str, float] = {}
    for name in models:
        pairs = [(seconds(with_archlab, name), seconds(with_torchinfo, name)) for _ in range(repeat)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        ratios[name] = theirs / ours
        print(f"{name:24}{ours * 1000:9.1f} ms{theirs * 1000:9.1f} ms{ratios[name]:8.2f}", flush=True)
    mean = statistics.geometric_mean(ratios.values())
    worst = min(ratios, key=lambda name: ratios[name])
    print(f"geometric mean {mean:.2f} over {len(ratios)} models; worst {ratios[worst]:.2f} ({worst})")
    return mean >= 5 and ratios[worst] >= 1


def main() -> int:
    """Print all of it."""
    parser = argparse.ArgumentParser(description="archlab's table beside torchinfo's.")
    parser.add_argument("--models", default="", help="names, separated by commas; all classification models by default")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--no-decoder", action="store_true", help="leave the 70 billion parameters out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    models = given.models.split(",") if given.models else torchvision.models.list_models(module=torchvision.models)
    good = compare(models, given.repeat)
    if Path("/proc/self/status").exists():
        memory = max(alone(f"torchvision:{name}")[1] for name in LARGEST_MODELS)
        print(f"peak memory above the imports: {memory / 1e6:.0f} MB")
        good &= memory < 150e6
        if not given.no_decoder:
            took, memory = alone(DECODER, "1x4096:int64")
            print(f"decoder of 70 billion parameters: {took:.2f} s, {memory / 1e6:.0f} MB above the imports")
            good &= took <= 3 and memory <= 600e6
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
