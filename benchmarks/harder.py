"""How fast archlab makes its table of networks that are harder to trace, beside torchinfo.

    python -m benchmarks.harder [--networks A,B] [--repeat N]

A language model with and without a mask, recurrent and spiking networks, volumes, detection, graphs: in one process and
one thread, taking turns, each from the factory call to the finished text with every layer. Both are given the same
inputs with values. Prints medians and ratios; leaves with 1 where archlab is slower than torchinfo on any of them. A
network whose library isn't installed is skipped, with the reason, and one that torchinfo can't run is said to be.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
import torchinfo
from torch import Tensor, nn

from archlab.tables import text
from archlab.tables.trace import trace_table
from archlab.tracing import trace

SPIKING_STEPS = 25
FACTORY = f"{__file__}:{{}}"


def gpt2() -> nn.Module:
    """GPT-2, 12 blocks, 768 wide."""
    transformers = import_module("transformers")
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(use_cache=False))  # type: ignore[no-any-return]


def llama() -> nn.Module:
    """A Llama of 8 blocks, 512 wide, 8 heads that share 2 of keys and values."""
    transformers = import_module("transformers")
    config = transformers.LlamaConfig(
        hidden_size=512,
        intermediate_size=1408,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        vocab_size=8000,
        use_cache=False,
    )
    return transformers.LlamaForCausalLM(config)  # type: ignore[no-any-return]


def bert() -> nn.Module:
    """BERT, 12 blocks, 768 wide."""
    transformers = import_module("transformers")
    return transformers.BertModel(transformers.BertConfig())  # type: ignore[no-any-return]


def lstm() -> nn.Module:
    """Two bidirectional layers of 256 over words, and a class for each sequence."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10_000, 128)
            self.lstm = nn.LSTM(128, 256, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(512, 5)

        def forward(self, words: Tensor) -> Tensor:
            result: Tensor = self.head(self.lstm(self.embedding(words))[0][:, -1])
            return result

    return Reader()


def unet_3d() -> nn.Module:
    """Three levels of volumes, two convolutions each, skips by concatenation (Cicek et al. 2016)."""

    def twice(channels: int, out: int) -> nn.Module:
        return nn.Sequential(
            *[
                layer
                for size in (channels, out)
                for layer in (nn.Conv3d(size, out, 3, padding=1), nn.BatchNorm3d(out), nn.ReLU())
            ]
        )

    class Volumes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([twice(1, 16), twice(16, 32), twice(32, 64)])
            self.up = nn.ModuleList([nn.ConvTranspose3d(64, 32, 2, 2), nn.ConvTranspose3d(32, 16, 2, 2)])
            self.join = nn.ModuleList([twice(64, 32), twice(32, 16)])
            self.head = nn.Conv3d(16, 3, 1)

        def forward(self, volume: Tensor) -> Tensor:
            held = []
            for place, block in enumerate(self.down):
                volume = block(nn.functional.max_pool3d(volume, 2) if place else volume)
                held.append(volume)
            for up, join, skipped in zip(self.up, self.join, held[-2::-1], strict=True):
                volume = join(torch.cat([up(volume), skipped], 1))
            result: Tensor = self.head(volume)
            return result

    return Volumes()


def fasterrcnn() -> nn.Module:
    """Faster R-CNN on a ResNet-50 with a feature pyramid."""
    detection = import_module("torchvision.models.detection")
    return detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)  # type: ignore[no-any-return]


class Fired(torch.autograd.Function):
    """A step whose gradient is that of an arctangent (Fang et al. 2021), as libraries of spiking networks have it."""

    @staticmethod
    def forward(ctx: Any, potential: Tensor) -> Tensor:
        """1 where the potential is above 0."""
        ctx.save_for_backward(potential)
        return (potential > 0).to(potential.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """The gradient through the arctangent."""
        (potential,) = ctx.saved_tensors
        result: Tensor = gradients[0] / (1 + (torch.pi * potential) ** 2)
        return result


def spiking() -> nn.Module:
    """Two convolutions and two linear layers with leaky neurons, over 25 steps of time."""

    class Leaky(nn.Module):
        def forward(self, current: Tensor, potential: Tensor) -> tuple[Tensor, Tensor]:
            potential = 0.9 * potential + current
            spikes: Tensor = Fired.apply(potential - 1.0)
            return spikes, potential - spikes

    class Spiking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(
                [
                    nn.Sequential(nn.Conv2d(1, 12, 5), nn.MaxPool2d(2)),
                    nn.Sequential(nn.Conv2d(12, 64, 5), nn.MaxPool2d(2)),
                    nn.Sequential(nn.Flatten(), nn.Linear(64 * 4 * 4, 128)),
                    nn.Linear(128, 10),
                ]
            )
            self.neurons = nn.ModuleList([Leaky() for _ in range(4)])

        def forward(self, picture: Tensor) -> Tensor:
            held: list[Tensor | float] = [0.0] * 4
            counts = []
            for _ in range(SPIKING_STEPS):
                spikes = picture
                for place, (layer, neuron) in enumerate(zip(self.layers, self.neurons, strict=True)):
                    current = layer(spikes)
                    before = held[place]
                    spikes, held[place] = neuron(
                        current, before if isinstance(before, Tensor) else torch.zeros_like(current)
                    )
                counts.append(spikes)
            return torch.stack(counts).sum(0)

    return Spiking()


def snntorch_leaky() -> nn.Module:
    """The same network with the neurons of snntorch."""
    snntorch = import_module("snntorch")

    class Spiking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 12, 5), nn.Conv2d(12, 64, 5)
            self.last = nn.Linear(64 * 4 * 4, 10)
            self.neurons = nn.ModuleList([snntorch.Leaky(beta=0.9) for _ in range(3)])

        def forward(self, picture: Tensor) -> Tensor:
            held: list[Any] = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
            spikes = []
            for _ in range(SPIKING_STEPS):
                one, held[0] = self.neurons[0](nn.functional.max_pool2d(self.first(picture), 2), held[0])
                two, held[1] = self.neurons[1](nn.functional.max_pool2d(self.second(one), 2), held[1])
                three, held[2] = self.neurons[2](self.last(two.flatten(1)), held[2])
                spikes.append(three)
            return torch.stack(spikes)

    return Spiking()


def graph() -> nn.Module:
    """Three graph convolutions of 64 features with attention in between, and a class for each node."""
    layers = import_module("torch_geometric.nn")

    class Nodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = layers.GCNConv(128, 64)
            self.second = layers.GATConv(64, 16, heads=4)
            self.third = layers.GCNConv(64, 7)

        def forward(self, features: Tensor, edges: Tensor) -> Tensor:
            features = self.first(features, edges).relu()
            result: Tensor = self.third(self.second(features, edges).relu(), edges)
            return result

    return Nodes()


def _words(length: int, vocabulary: int = 1000) -> Tensor:
    return torch.randint(vocabulary, (1, length), generator=torch.Generator().manual_seed(0))


def _edges(nodes: int, edges: int) -> Tensor:
    return torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(0))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], dict[str, Any] | list[Any]]]] = {
    "GPT-2": (gpt2, lambda: {"input_ids": _words(128)}),
    "Llama, mask": (llama, lambda: {"input_ids": _words(128), "attention_mask": torch.ones(1, 128, dtype=torch.int64)}),
    "BERT, mask": (bert, lambda: {"input_ids": _words(128), "attention_mask": torch.ones(1, 128, dtype=torch.int64)}),
    "LSTM": (lstm, lambda: [_words(64)]),
    "3-D U-Net": (unet_3d, lambda: [torch.zeros(1, 1, 32, 32, 32)]),
    "Faster R-CNN": (fasterrcnn, lambda: [[torch.rand(3, 320, 320)]]),
    "spiking": (spiking, lambda: [torch.rand(1, 1, 28, 28)]),
    "snntorch": (snntorch_leaky, lambda: [torch.rand(1, 1, 28, 28)]),
    "snntorch, 128": (snntorch_leaky, lambda: [torch.rand(128, 1, 28, 28)]),
    "graph": (graph, lambda: [torch.rand(500, 128), _edges(500, 2000)]),
}
"""Name -> how it is built, and what it is called with."""


def with_archlab(name: str) -> str:
    """The table of every layer."""
    build, inputs = NETWORKS[name]
    return text(trace_table(trace(FACTORY.format(build.__name__), inputs()), None, unfold=True))


def with_torchinfo(name: str) -> str:
    """The summary of every layer."""
    build, inputs = NETWORKS[name]
    return str(torchinfo.summary(build(), input_data=inputs(), depth=20, verbose=0))


def seconds(make: Callable[[str], str], name: str) -> float:
    """Wall-clock time of one call, with no garbage left over from another."""
    gc.collect()
    start = time.perf_counter()
    make(name)
    return time.perf_counter() - start


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="archlab's table of harder networks beside torchinfo's.")
    parser.add_argument("--networks", default="", help="names, separated by semicolons; all by default")
    parser.add_argument("--repeat", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print(f"{'network':16}{'archlab':>12}{'torchinfo':>12}{'ratio':>8}")
    slower = []
    for name in given.networks.split(";") if given.networks else NETWORKS:
        try:
            NETWORKS[name][0]()
        except ImportError as error:
            print(f"{name:16}skipped: {error}")
            continue
        with_archlab(name)  # what is imported on first use
        try:
            with_torchinfo(name)
        except Exception as error:  # whatever a stranger's library may raise
            ours = statistics.median(seconds(with_archlab, name) for _ in range(given.repeat))
            print(f"{name:16}{ours * 1000:9.1f} ms{'fails':>12}  {str(error).splitlines()[0][:70]}")
            continue
        pairs = [(seconds(with_archlab, name), seconds(with_torchinfo, name)) for _ in range(given.repeat)]
        ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
        slower += [name] if theirs < ours else []
        print(f"{name:16}{ours * 1000:9.1f} ms{theirs * 1000:9.1f} ms{theirs / ours:8.2f}", flush=True)
    print(f"slower than torchinfo: {', '.join(slower) or 'none'}")
    return int(bool(slower))


if __name__ == "__main__":
    sys.exit(main())
