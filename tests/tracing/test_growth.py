"""Growth of real networks: features are what the weights speak of, the rest is named as what it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.analysis.growth import stages
from archlab.records import Growth, Stage
from archlab.tables.growth import size_text, stage_name
from archlab.tracing import trace


def grown(network: Any, inputs: object = None, depth: int | None = 1) -> list[tuple[str, int, str]]:
    return [(stage_name(stage), stage.channels, size_text(stage)) for stage in _stages(network, inputs, depth)]


def _stages(network: Any, inputs: object, depth: int | None) -> tuple[Stage, ...]:
    growth = stages(trace(network, inputs), depth)
    assert Growth.from_json(growth.to_json()) == growth
    assert all(len(stage.axes) == len(stage.shape) for stage in growth.stages)
    return growth.stages


def test_a_vision_transformer_has_tokens_of_768_features() -> None:
    assert grown("torchvision:vit_b_16") == [
        ("conv_proj", 768, "14x14"),  # 224 / 16
        ("reshape", 768, "196 tokens"),  # 14 * 14
        ("permute", 768, "196 tokens"),
        ("cat", 768, "197 tokens"),  # one more for the class
        ("encoder", 768, "197 tokens"),
        ("getitem", 768, ""),
        ("heads", 1000, ""),
    ]
    blocks = _stages("torchvision:vit_b_16", None, 3)[4]
    assert stage_name(blocks) == "encoder.layers.encoder_layer_0-11 x12"
    # 12 blocks of two norms 2 * 2 * 768, attention 4 * (768 * 768 + 768), perceptron 2 * 768 * 3072 + 3072 + 768
    assert blocks.parameters == 12 * (3_072 + 2_362_368 + 4_722_432) == 85_054_464
    assert len(blocks.paths) == blocks.repeats == 12


def test_maps_with_their_channels_last() -> None:
    assert [row[1:] for row in grown("torchvision:swin_t", depth=2)] == [
        *[(96, "56x56")] * 2,
        *[(192, "28x28")] * 2,
        *[(384, "14x14")] * 2,
        *[(768, "7x7")] * 4,  # features.6, features.7, norm, permute
        *((768, "1x1"), (768, ""), (1000, "")),
    ]


def test_maps_with_their_channels_first_are_what_they_were() -> None:
    assert grown("torchvision:resnet18") == [
        ("conv1 .. relu", 64, "112x112"),
        ("maxpool", 64, "56x56"),
        ("layer1", 64, "56x56"),
        ("layer2", 128, "28x28"),
        ("layer3", 256, "14x14"),
        ("layer4", 512, "7x7"),
        ("avgpool", 512, "1x1"),
        ("flatten", 512, ""),
        ("fc", 1000, ""),
    ]
    assert ("layer1.0-1 x2", 64, "56x56") in grown("torchvision:resnet18", depth=2)
    assert all(size.count("x") == 1 for _, _, size in grown("torchvision:convnext_tiny", depth=2)[:9])


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_recurrent_network_has_steps_whichever_axis_is_the_batch(batch_first: bool) -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(100, 8)
            self.dropout = nn.Dropout()
            self.lstm = nn.LSTM(8, 16, batch_first=batch_first, bidirectional=True)
            self.head = nn.Linear(32, 3)

        def forward(self, words: Tensor) -> Any:
            steps, _ = self.lstm(self.dropout(self.table(words)))
            return self.head(steps[:, -1] if batch_first else steps[-1])

    words = torch.zeros((2, 10) if batch_first else (10, 2), dtype=torch.int64)
    assert grown(Text(), [words]) == [
        ("table .. dropout", 8, "10 steps"),
        ("lstm", 32, "10 steps"),  # two directions of 16
        ("getitem", 32, ""),
        ("head", 3, ""),
    ]


def test_a_recurrent_layer_without_a_batch() -> None:
    assert grown(nn.GRU(8, 16), [torch.zeros(10, 8)]) == [("", 16, "10 steps")]
    assert grown(nn.GRUCell(8, 16), [torch.zeros(4, 8)]) == [("", 16, "")]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_encoder_layers_are_one_stage_of_tokens(batch_first: bool, training: bool) -> None:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=batch_first)
    network = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train(training)
    shape = (2, 10, 32) if batch_first else (10, 2, 32)
    assert grown(network, [torch.zeros(shape)]) == [("layers.0-2 x3", 32, "10 tokens")]


class Norm(nn.Module):
    """A root mean square norm by hand, whose scale is a parameter of its own."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.scale


class Block(nn.Module):
    """A decoder's layer of 64 features in 4 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.into, self.out = Norm(64), nn.Linear(64, 192), nn.Linear(64, 64)
        self.perceptron = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 64))

    def forward(self, x: Tensor) -> Tensor:
        heads = [part.unflatten(-1, (4, 16)).transpose(1, 2) for part in self.into(self.norm(x)).chunk(3, -1)]
        query, key, value = heads
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        result: Tensor = x + self.perceptron(x)
        return result


class Decoder(nn.Module):
    def __init__(self, count: int) -> None:
        super().__init__()
        self.table = nn.Embedding(1000, 64)
        self.layers = nn.ModuleList(Block() for _ in range(count))
        self.head = nn.Linear(64, 1000)

    def forward(self, words: Tensor) -> Any:
        x = self.table(words)
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def test_a_decoder_folds_its_layers() -> None:
    words = torch.zeros(1, 64, dtype=torch.int64)  # as many as there are features: sizes alone don't tell
    assert grown(Decoder(80), [words]) == [
        ("table", 64, "64 tokens"),
        ("layers.0-79 x80", 64, "64 tokens"),
        ("head", 1000, "64 tokens"),
    ]
    opened = grown(Decoder(80), [words], 2)
    assert ("layers.0-79.norm x80", 64, "64 tokens") in opened
    assert ("layers.0-79.into x80", 192, "64 tokens") in opened
    assert len(opened) < 30
    for depth in (1, 2, 3, None):
        found = _stages(Decoder(5), [words], depth)
        # table and head 64,000 + 65,000; a block 64 + 64 * 192 + 192 + 64 * 64 + 64 + 2 * 64 * 128 + 128 + 64
        assert sum(stage.parameters for stage in found) == 129_000 + 5 * 33_280


def test_signals_and_unknown_axes() -> None:
    signal = nn.Sequential(nn.Conv1d(3, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2))
    assert grown(signal, [(1, 3, 100)]) == [
        ("0 .. 1", 8, "96 positions"),
        ("2", 8, "1 position"),
        ("3", 8, ""),
        ("4", 2, ""),
    ]
    assert grown(nn.Sequential(nn.Linear(8, 16), nn.ReLU()), [(1, 7, 8)]) == [("0 .. 1", 16, "7 positions")]
    assert grown(nn.Sequential(nn.ReLU()), [(1, 7, 8)]) == [("0", 0, "7x8")], "no weights: nobody knows"


def test_what_no_call_made_is_no_tensor_that_grows() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(7, 9))
            self.register_buffer("table", torch.zeros(1, 512))
            self.body = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Any:
            return self.body(x)

    assert grown(Idle(), [(2, 4)]) == [("scale", 0, ""), ("body", 3, "")]


@pytest.mark.parametrize("batch_first", [True, False])
def test_words_in_front_of_encoder_layers(batch_first: bool) -> None:
    class Encoding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(100, 32)
            layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=batch_first)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, words: Tensor) -> Any:
            return self.layers(self.embedding(words))

    words = "2x9:int64" if batch_first else "9x2:int64"
    assert grown(Encoding(), [words]) == [("embedding", 32, "9 tokens"), ("layers", 32, "9 tokens")]


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
@pytest.mark.parametrize("axis", [0, 1])
def test_cells_in_a_loop_give_features(kind: Any, axis: int) -> None:
    class Unrolled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = kind(8, 16), nn.Linear(16, 5)

        def forward(self, x: Tensor) -> Any:
            state: Any = None
            steps = []
            for step in x.unbind(axis):
                state = self.cell(step, state)
                steps.append(state[0] if kind is nn.LSTMCell else state)
            return self.head(torch.stack(steps, axis))

    found = grown(Unrolled(), [(2, 3, 8) if axis else (3, 2, 8)])
    assert found[1:] == [("cell .. cell", 16, ""), ("stack", 16, "3 positions"), ("head", 5, "3 positions")]
