"""Networks that keep a state, that spike and that attend: mambapy, spikingjelly, snntorch, x-transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.entry import Entry, Inputs, ids, library, noise, of


def mamba(kind: str, inputs: Callable[[], Inputs], config: str, **options: Any) -> Entry:
    """A network of mambapy: `file:Class`, on its configuration."""

    def build() -> nn.Module:
        home, _, name = kind.partition(":")
        module = library(f"mambapy.{home}")
        network: nn.Module = getattr(module, name)(getattr(module, config)(**options))
        return network

    return Entry("mambapy", name_of(kind), build, inputs)


def name_of(kind: str) -> str:
    """The class of `file:Class`."""
    return kind.partition(":")[2]


MAMBAPY = [
    mamba("mamba:Mamba", noise((2, 16, 32)), "MambaConfig", d_model=32, n_layers=2),
    Entry(
        "mambapy",
        "Mamba (scan in sequence)",
        lambda: mamba("mamba:Mamba", noise(), "MambaConfig", d_model=32, n_layers=2, pscan=False).build(),
        noise((2, 16, 32)),
    ),
    mamba(
        "jamba:Jamba",
        noise((2, 16, 32)),
        "JambaLMConfig",
        d_model=32,
        n_layers=4,
        mlp_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_offset=1,
        attn_layer_period=2,
        num_experts=4,
    ),
    mamba(
        "jamba:JambaLM",
        lambda: [ids(2, 16, 500)],
        "JambaLMConfig",
        d_model=32,
        n_layers=4,
        vocab_size=500,
        mlp_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_offset=1,
        attn_layer_period=2,
        num_experts=4,
    ),
]


def spikes(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of spikingjelly: `file:function`."""

    def build() -> nn.Module:
        home, _, name = kind.partition(":")
        base = "spikingjelly.activation_based"
        made: nn.Module = getattr(library(f"{base}.model.{home}"), name)(
            pretrained=False,
            spiking_neuron=library(f"{base}.neuron").IFNode,
            surrogate_function=library(f"{base}.surrogate").ATan(),
            **options,
        )
        library(f"{base}.functional").set_step_mode(made, "m")
        return made

    return Entry(
        "spikingjelly",
        name_of(kind),
        build,
        inputs,
        lambda made: library("spikingjelly.activation_based.functional").reset_net(made),
    )


SPIKINGJELLY = [
    spikes("spiking_resnet:spiking_resnet18", noise((4, 1, 3, 64, 64)), num_classes=10),
    spikes("sew_resnet:sew_resnet18", noise((4, 1, 3, 64, 64)), cnf="ADD", num_classes=10),
]


class Leaky(nn.Module):
    """Leaky neurons of snntorch on a small convolution, over several steps."""

    def __init__(self) -> None:
        super().__init__()
        snntorch = library("snntorch")
        self.conv = nn.Conv2d(1, 8, 5)
        self.first = snntorch.Leaky(beta=0.9)
        self.out = nn.Linear(8 * 12 * 12, 10)
        self.last = snntorch.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, x: Tensor) -> Tensor:
        """Counts of spikes per class over the steps, which are the first axis."""
        potential = self.first.init_leaky()
        current, second = self.last.init_synaptic()
        counts = []
        for step in x:
            spike, potential = self.first(nn.functional.max_pool2d(self.conv(step), 2), potential)
            spike, current, second = self.last(self.out(spike.flatten(1)), current, second)
            counts.append(spike)
        return torch.stack(counts).sum(0)


def leaky(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A layer of neurons of snntorch."""
    return Entry("snntorch", kind, of(f"snntorch:{kind}", **options), inputs)


SNNTORCH = [
    Entry("snntorch", "Leaky, Synaptic", Leaky, noise((4, 2, 1, 28, 28))),
    leaky("SLSTM", lambda: [torch.randn(2, 16), torch.zeros(2, 32), torch.zeros(2, 32)], input_size=16, hidden_size=32),
    leaky(
        "SConv2dLSTM",
        lambda: [torch.randn(2, 1, 16, 16), torch.zeros(2, 8, 16, 16), torch.zeros(2, 8, 16, 16)],
        in_channels=1,
        out_channels=8,
        kernel_size=3,
    ),
    leaky("RLeaky", lambda: [torch.randn(2, 16), torch.zeros(2, 16), torch.zeros(2, 16)], beta=0.9, linear_features=16),
]


def x_transformer(name: str, build: Callable[[Any], nn.Module], inputs: Callable[[], Inputs]) -> Entry:
    """A network of x-transformers."""
    return Entry("x_transformers", name, lambda: build(library("x_transformers")), inputs)


LAYERS = {"dim": 32, "depth": 2, "heads": 4}


X_TRANSFORMERS = [
    x_transformer(
        "Decoder",
        lambda x: x.TransformerWrapper(num_tokens=100, max_seq_len=64, attn_layers=x.Decoder(**LAYERS)),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, flash, rotary, GQA",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            attn_layers=x.Decoder(attn_flash=True, rotary_pos_emb=True, attn_kv_heads=2, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Encoder, mask, relative bias",
        lambda x: x.TransformerWrapper(
            num_tokens=100, max_seq_len=64, attn_layers=x.Encoder(rel_pos_bias=True, ff_glu=True, **LAYERS)
        ),
        lambda: {"x": ids(2, 16, 100), "mask": torch.arange(16).expand(2, 16) < torch.tensor([[16], [12]])},
    ),
    x_transformer(
        "Encoder, talking heads, alibi",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            num_memory_tokens=4,
            attn_layers=x.Encoder(alibi_pos_bias=True, attn_pre_talking_heads=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, sparse top-k, macaron",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            attn_layers=x.Decoder(attn_sparse_topk=4, macaron=True, use_rmsnorm=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, recurrence",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            max_mem_len=16,
            shift_mem_down=1,
            attn_layers=x.Decoder(rel_pos_bias=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "ViTransformerWrapper",
        lambda x: x.ViTransformerWrapper(image_size=32, patch_size=8, num_classes=10, attn_layers=x.Encoder(**LAYERS)),
        noise((2, 3, 32, 32)),
    ),
    x_transformer(
        "ContinuousTransformerWrapper",
        lambda x: x.ContinuousTransformerWrapper(dim_in=16, dim_out=8, max_seq_len=64, attn_layers=x.Encoder(**LAYERS)),
        noise((2, 16, 16)),
    ),
    x_transformer(
        "XTransformer",
        lambda x: x.XTransformer(
            dim=32,
            enc_num_tokens=100,
            enc_depth=2,
            enc_heads=4,
            enc_max_seq_len=64,
            dec_num_tokens=100,
            dec_depth=2,
            dec_heads=4,
            dec_max_seq_len=64,
        ),
        lambda: [ids(2, 16, 100), ids(2, 12, 100)],
    ),
]

ENTRIES: list[Entry] = [*MAMBAPY, *SPIKINGJELLY, *SNNTORCH, *X_TRANSFORMERS]
