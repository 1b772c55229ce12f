"""Graphs that torch's exporters write, against traces of the networks that they come from."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archlab
from archlab.analysis.diff import diff
from archlab.networks import resolve
from archlab.onnx import trace
from archlab.records import Trace

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'archlab[onnx]'")

EXPORTERS = ("torchscript", "dynamo")


class Block(nn.Module):
    """A residual block whose activation runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.relu(self.conv2(self.relu(self.bn1(self.conv1(x)))) + x)
        return out


class Folds(nn.Module):
    """Computes the shape that it gives its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, channels, height, width = x.shape
        folded = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 3, 5, 1, 2, 4)
        return folded.reshape(batch * 4, channels, height // 2, width // 2)


class Net(nn.Module):
    """What exporters write: modules in containers, a residual, tokens, a shape that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU())
        self.blocks = nn.Sequential(Block(), Block())
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(self.stem(x))
        x = x.reshape(x.size(0), x.size(1), -1).transpose(1, 2)
        x = self.norm(x + self.attend(x, x, x, need_weights=False)[0])
        head: torch.Tensor = self.head(x.mean(1))
        return head


def export(network: nn.Module, path: Path, exporter: str, folded: bool = False, **options: Any) -> None:
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 1.5)  # equal tensors would be stored once
    inputs = options.pop("inputs", torch.zeros(1, 3, 16, 16))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            mode = torch.onnx.TrainingMode.EVAL if folded else torch.onnx.TrainingMode.PRESERVE
            torch.onnx.export(network, (inputs,), str(path), dynamo=False, training=mode, **options)
            return
        pytest.importorskip("onnxscript", reason="torch's exporter needs it: pip install onnxscript")
        logging.disable(logging.WARNING)
        try:
            made = torch.onnx.export(network, (inputs,), dynamo=True, verbose=False, optimize=folded, **options)
        finally:
            logging.disable(logging.NOTSET)
        assert made is not None
        made.save(str(path))


@pytest.fixture(scope="module", params=EXPORTERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, Trace]:
    network = Net().eval()
    path = tmp_path_factory.mktemp("export") / "net.onnx"
    export(network, path, request.param)
    return archlab.trace(network, [(1, 3, 16, 16)]), trace(str(path))


def test_totals_are_those_of_the_network(pair: tuple[Trace, Trace]) -> None:
    network, graph = pair
    assert graph.totals.macs == network.totals.macs
    assert graph.totals.parameters == network.totals.parameters
    assert graph.totals.buffers == network.totals.buffers - 2  # BatchNorm's counter of batches is not in the file
    assert graph.totals.uncounted_operations == {}
    # The scale: one per pair of 49 tokens in 2 heads, and in the file one per number of the queries and the keys.
    assert graph.totals.elementwise == network.totals.elementwise - 2 * 49 * 49 + 2 * 49 * 4


def test_layers_are_found_by_their_paths(pair: tuple[Trace, Trace]) -> None:
    network, graph = pair
    rows = {(layer.path, layer.call): layer for layer in graph.layers}
    for layer in network.layers:
        if layer.operation or layer.path in ("attend", "attend.out_proj"):
            continue
        found = rows[layer.path, layer.call]
        assert (found.macs, found.parameters, found.calls) == (layer.macs, layer.parameters, layer.calls), layer.path
        assert found.output_shapes == layer.output_shapes, layer.path
    changed = [item for item in diff(network, graph).layers if item.change in ("added", "removed")]
    assert not [item for item in changed if "attend" not in (item.before or item.after).path and not _operator(item)]  # type: ignore[union-attr]


def _operator(item: Any) -> bool:
    return bool((item.before or item.after).operation)


def test_rows_sum_to_the_totals(pair: tuple[Trace, Trace]) -> None:
    for found in pair:
        for name in ("macs", "parameters", "buffers", "elementwise"):
            assert sum(getattr(layer, name) for layer in found.rows(1)) == getattr(found.totals, name)


def test_edges_lead_from_layer_to_layer(pair: tuple[Trace, Trace]) -> None:
    graph = pair[1]
    places = {(layer.path, layer.call): place for place, layer in enumerate(graph.layers)}
    by_path = {key: graph.layers[place].inputs for key, place in places.items()}
    assert by_path["stem.0", 1] == (-1,)
    assert by_path["stem.1", 1] == (places["stem.0", 1],)
    assert set(by_path["blocks.0.add", 1]) == {places["blocks.0.conv2", 1], places["stem.1", 1]}


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_folded_normalisation_leaves_a_bias(exporter: str, tmp_path: Path) -> None:
    network = Net().eval()
    export(network, tmp_path / "net.onnx", exporter, folded=True)
    before, after = archlab.trace(network, [(1, 3, 16, 16)]), trace(str(tmp_path / "net.onnx"))
    assert after.totals.macs == before.totals.macs
    assert after.totals.parameters == before.totals.parameters - 2 * 4  # 2 blocks: 4 scales and 4 shifts are 4 biases
    rows = {layer.path: layer for layer in after.layers}
    assert rows["blocks.0.conv1"].parameters == 4 * 4 * 9 + 4
    assert "blocks.0.bn1" not in rows


def test_torchvisions_resnet18(tmp_path: Path) -> None:
    source = resolve("torchvision:resnet18")
    export(source.build().eval(), tmp_path / "net.onnx", "torchscript", inputs=torch.zeros(1, 3, 224, 224))
    found = trace(str(tmp_path / "net.onnx"))
    assert found.totals.macs == 1_814_073_344
    assert found.totals.parameters == 11_689_512
    assert found.totals.elementwise == archlab.trace(source).totals.elementwise


def test_open_sizes_reach_the_shapes_that_the_graph_computes(tmp_path: Path) -> None:
    network = nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)).eval()
    network.insert(0, nn.Conv2d(3, 4, 3))
    network.insert(2, Folds())
    axes = {"x": {0: "batch", 2: "height", 3: "width"}}
    export(network, tmp_path / "net.onnx", "torchscript", input_names=["x"], dynamic_axes=axes)
    for inputs, batch, shape in (
        (["x=3x3x20x16"], None, (3, 3, 20, 16)),
        (["height=20", "width=16"], 3, (3, 3, 20, 16)),
        ([16], 2, (2, 3, 16, 16)),
    ):
        found = trace(str(tmp_path / "net.onnx"), inputs, batch=batch)
        expected = archlab.trace(network, [shape]).totals
        assert (found.inputs, found.totals.macs) == ((shape,), expected.macs)
        assert found.totals.uncounted_operations == {}


def test_recurrent_layers(tmp_path: Path) -> None:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(50, 8)
            self.lstm = nn.LSTM(8, 16, 2, bidirectional=True, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.lstm(self.table(x))[0]
            return out

    network = Reader().eval()
    ids = torch.zeros(2, 7, dtype=torch.int64)
    export(network, tmp_path / "net.onnx", "torchscript", inputs=ids)
    found, expected = trace(str(tmp_path / "net.onnx")).totals, archlab.trace(network, ["2x7:int64"]).totals
    assert (found.macs, found.parameters, found.elementwise) == (
        expected.macs,
        expected.parameters,
        expected.elementwise,
    )
