"""How well predicted memory agrees with what torch itself finds.

    python -m benchmarks.memory [MODEL...] [--batch N] [--size N]

Two tables over torchvision models, in training mode. First the `saved` column, which is measured without values, beside
what autograd saves of real tensors on the CPU (parameters and buffers left out, each storage once). Then the peak of a
training step with Adam beside torch's own MemTracker over the same step on fake tensors. Leaves with 1 where the saved
bytes differ by more than 1 %, or the peak by more than 5 %.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from archlab.networks import resolve
from archlab.tracing import fits, trace

MODELS = (
    "alexnet",
    "vgg11_bn",
    "resnet18",
    "resnet50",
    "densenet121",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "shufflenet_v2_x1_0",
    "convnext_tiny",
    "vit_b_32",
)


def build(name: str) -> nn.Module:
    """The model in training mode, without trained weights."""
    model: nn.Module = torchvision.models.get_model(name, weights=None)
    return model.train()


def really_saved(network: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps of real tensors, each storage once, without parameters and buffers."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    kept: dict[int, tuple[Tensor, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor, storage.nbytes()  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(size for _, size in kept.values())


def tracked_peak(name: str, batch: int, size: int) -> int:
    """The peak of a later training step with Adam, as MemTracker sees it."""
    network = resolve(f"torchvision:{name}").build("meta").train()  # some constructors read values
    with FakeTensorMode(allow_non_fake_inputs=True):
        network.to_empty(device="cpu")
        optimizer = torch.optim.Adam(network.parameters(), foreach=True)
        x, labels = torch.randn(batch, 3, size, size), torch.randint(0, 1000, (batch,))

        def step() -> None:
            F.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad()

        step()
        tracker = MemTracker()
        tracker.track_external(network, optimizer, x)
        with tracker:
            step()
        return int(tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"])


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="Predicted memory beside what torch finds.")
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    bad = False
    print(f"{'saved bytes':24}{'archlab':>16}{'autograd':>16}{'difference':>12}")
    for name in given.models:
        network = build(name)
        shape = (given.batch, 3, given.size, given.size)
        predicted = trace(network, [shape], columns=["saved"]).totals.saved_bytes or 0
        real = really_saved(network, torch.randn(shape))
        bad |= abs(predicted - real) > 0.01 * real
        print(f"{name:24}{predicted:16,}{real:16,}{predicted / real - 1:12.3%}", flush=True)
    print(f"\n{'peak of a step':24}{'archlab':>16}{'MemTracker':>16}{'difference':>12}")
    for name in given.models:
        shape = (given.batch, 3, given.size, given.size)
        peak = fits(f"torchvision:{name}", [shape]).peak
        tracked = tracked_peak(name, given.batch, given.size)
        bad |= abs(peak - tracked) > 0.05 * tracked
        print(f"{name:24}{peak:16,}{tracked:16,}{peak / tracked - 1:12.3%}", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
