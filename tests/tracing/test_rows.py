"""The tree of rows: what is one, where it stands, and what it is joined to."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.records import Layer, Trace
from archlab.tracing import trace
from tests.tracing.networks import Mixed

COURSE = {
    "lenet": [
        ("conv_1", "Conv2d", (1, 6, 24, 24), 156, 86_400),
        ("norm_1", "BatchNorm2d", (1, 6, 24, 24), 12, 0),
        ("sigmoid_1", "Sigmoid", (1, 6, 24, 24), 0, 0),
        ("pool_1", "MaxPool2d", (1, 6, 12, 12), 0, 0),
        ("conv_2", "Conv2d", (1, 16, 8, 8), 2_416, 153_600),
        ("norm_2", "BatchNorm2d", (1, 16, 8, 8), 32, 0),
        ("sigmoid_2", "Sigmoid", (1, 16, 8, 8), 0, 0),
        ("pool_2", "MaxPool2d", (1, 16, 4, 4), 0, 0),
        ("flatten", "Flatten", (1, 256), 0, 0),
        ("linear_1", "Linear", (1, 120), 30_840, 30_720),
        ("norm_3", "BatchNorm1d", (1, 120), 240, 0),
        ("sigmoid_3", "Sigmoid", (1, 120), 0, 0),
        ("linear_2", "Linear", (1, 84), 10_164, 10_080),
        ("norm_4", "BatchNorm1d", (1, 84), 168, 0),
        ("sigmoid_4", "Sigmoid", (1, 84), 0, 0),
        ("linear_3", "Linear", (1, 10), 850, 840),
    ],
    "resnet": [
        ("conv", "Conv2d", (1, 64, 112, 112), 3_200, 39_337_984),
        ("norm", "BatchNorm2d", (1, 64, 112, 112), 128, 0),
        ("relu", "ReLU", (1, 64, 112, 112), 0, 0),
        ("maxpool", "MaxPool2d", (1, 64, 56, 56), 0, 0),
        ("stage_1", "Sequential", (1, 64, 56, 56), 148_224, 462_422_016),
        ("stage_2", "Sequential", (1, 128, 28, 28), 525_952, 411_041_792),
        ("stage_3", "Sequential", (1, 256, 14, 14), 2_100_480, 411_041_792),
        ("stage_4", "Sequential", (1, 512, 7, 7), 8_395_264, 411_041_792),
        ("pool", "AdaptiveAvgPool2d", (1, 512, 1, 1), 0, 0),
        ("linear", "FlatLinear", (1, 10), 5_130, 5_120),
    ],
}


@pytest.mark.parametrize(("source", "size"), [("lenet", "28"), ("resnet", "224")])
def test_the_courses_tables_come_out_row_for_row(source: str, size: str) -> None:
    found = trace(source, [size])
    rows = [(row.path, row.kind, row.output_shapes[0], row.parameters, row.macs) for row in found.rows(1)]
    assert rows == COURSE[source]
    assert found.totals.parameters == sum(row[3] for row in rows)
    assert found.totals.macs == sum(row[4] for row in rows)


def named(found: Trace) -> dict[str, Layer]:
    return {layer.path: layer for layer in found.layers}


def sources(found: Trace, path: str) -> list[str]:
    return [
        found.layers[origin].path if origin >= 0 else f"input {-1 - origin}" for origin in named(found)[path].inputs
    ]


def test_functions_are_rows_where_they_stand() -> None:
    found = trace(Mixed(), [(2, 3, 8, 8)])
    assert [layer.path for layer in found.rows(2)] == [
        *("stem", "blocks", "blocks.0", "blocks.1", "mul", "add", "dropout", "mean", "cat", "head"),
    ]
    rows = named(found)
    assert (rows["blocks.0.add"].kind, rows["blocks.0.add"].operation, rows["blocks.0.add"].depth) == ("add", True, 3)
    assert rows["cat"].detail == "4+4 -> 8"
    assert sources(found, "blocks.0.add") == ["blocks.0.norm", "stem"]
    assert sources(found, "blocks.1.conv") == ["blocks.0.relu"]
    assert sources(found, "stem") == ["input 0"]
    assert sources(found, "cat") == ["mean"], "random numbers are no row"


def test_parameters_count_where_they_are_taken() -> None:
    found = trace(Mixed(), [(2, 3, 8, 8)])
    rows = named(found)
    assert (rows["mul"].parameters, rows["add"].buffers) == (4, 4)
    # stem 4 * 27 + 4, two blocks of 4 * 36 + 4 + 8, the scale, the head 8 * 5 + 5
    assert found.totals.parameters == 112 + 2 * 156 + 4 + 45
    assert found.totals.trainable_parameters == 2 * 156 + 4 + 45
    assert rows["stem"].trainable_parameters == 0
    assert found.totals.buffers == 2 * 9 + 4
    for values in ("parameters", "buffers", "macs", "elementwise", "trainable_parameters"):
        assert sum(getattr(layer, values) for layer in found.rows(1)) == getattr(found.totals, values)


class Holder(nn.Module):
    """Holds a parameter that nothing takes, a buffer likewise, and one that is only viewed."""

    def __init__(self) -> None:
        super().__init__()
        self.idle = nn.Parameter(torch.zeros(7))
        self.viewed = nn.Parameter(torch.zeros(3, 4))
        self.register_buffer("table", torch.zeros(5))
        self.body = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.body(x) @ self.viewed.unsqueeze(0).view(3, 4)
        return result


def test_what_nothing_takes_has_a_row_of_its_own() -> None:
    found = trace(nn.Sequential(Holder()), [(2, 4)])
    rows = [(row.path, row.kind, row.parameters, row.buffers, row.operation) for row in found.layers]
    assert rows == [
        ("0", "Holder", 7 + 12 + 15, 5, False),
        ("0.idle", "Parameter", 7, 0, False),
        ("0.table", "Buffer", 0, 5, False),
        ("0.body", "Linear", 15, 0, False),
        ("0.matmul", "matmul", 12, 0, True),
    ]
    assert found.layers[0].own_parameters == 7 + 12
    assert sum(layer.own_parameters for layer in found.layers) == found.totals.parameters == 34


def test_a_network_of_one_layer_is_its_own_row() -> None:
    found = trace(nn.Linear(3, 4), [(2, 3)])
    assert [(row.path, row.depth, row.parameters, row.macs) for row in found.layers] == [("", 1, 16, 24)]


def test_forward_called_directly_shows() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner.forward(x)

    assert [row.path for row in trace(Direct(), [(2, 3)]).layers] == ["inner"]


def test_edges_respect_what_is_done_in_place() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            before = x
            self.relu(x)
            x += before
            canvas = torch.zeros_like(x)
            canvas[:, 0] = x[:, 0]
            part = canvas.view(-1)
            part.mul_(2)
            return canvas.exp()

    found = trace(InPlace(), [(1, 3, 4, 4)])
    assert sources(found, "add") == ["relu"]
    assert sources(found, "setitem") == ["getitem"]
    assert sources(found, "mul") == ["view"]
    assert sources(found, "exp") == ["mul"], "what happens to a view happens to its base"


def test_a_layer_that_passes_its_input_on_is_an_edge_of_its_own() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.identity = nn.Identity()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            result: Tensor = x + self.identity(x)
            return result

    for columns in ((), ("saved",)):
        found = trace(Skip(), [(1, 3, 4, 4)], columns=columns)
        assert sources(found, "add") == ["conv", "identity"]
        assert sources(found, "identity") == ["conv"]


Pair = namedtuple("Pair", "first second")


@dataclass
class Result:
    value: Tensor
    rest: Any = None


class Custom:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


@pytest.mark.parametrize(
    ("wrap", "count"),
    [
        (lambda x: x, 1),
        (lambda x: None, 0),
        (lambda x: (x, [x, None]), 2),
        (lambda x: {"a": x, "b": {"c": (x,)}}, 2),
        (lambda x: Pair(x, x), 2),
        (lambda x: Result(x, {"more": x}), 2),
        (Custom, 1),
        (lambda x: nn.utils.rnn.pack_sequence([x]), 2),
    ],
)
def test_every_tensor_of_a_result_is_shown(wrap: Any, count: int) -> None:
    class Inner(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return wrap(x * 2)

    found = trace(nn.Sequential(Inner()), [(2, 3)])
    assert len(found.layers[0].output_shapes) == count


def test_arguments_may_be_keywords_and_containers() -> None:
    class Takes(nn.Module):
        def forward(self, pair: tuple[Tensor, Tensor], *, more: dict[str, list[Tensor]], flag: bool) -> Tensor:
            assert flag
            return pair[0] + pair[1] + more["a"][0]

    inputs = {"pair": ((2, 3), (2, 3)), "more": {"a": [torch.zeros(2, 3)]}, "flag": True}
    found = trace(Takes(), inputs)
    assert found.inputs == ((2, 3), (2, 3), (2, 3))
    assert sources(found, "add_1") == ["add", "input 2"]


def test_stray_tensors_meet_those_without_values() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 3)
            self.plain = torch.ones(3)

        def forward(self, x: Tensor) -> Tensor:
            positions = torch.arange(x.shape[1])
            x = x.to("cpu").float() + self.embedding(positions) * self.plain
            return x.to(torch.bfloat16)

    found = trace(Positions(), [(1, 4, 3)])
    assert [layer.kind for layer in found.layers] == ["Embedding", "mul", "add", "to"]
    assert found.layers[-1].dtype == "bfloat16"
    assert found.notes == ()


def test_parametrised_pruned_and_normalised_weights() -> None:
    from torch.nn.utils import prune

    pruned = nn.Sequential(nn.Linear(3, 4))
    cut: Any = prune.l1_unstructured
    cut(pruned[0], "weight", 0.5)
    for network, parameters in (
        (pruned, 16),
        (nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))), 4 + 12 + 4),
        (nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 4))), 16),
    ):
        found = trace(network, [(2, 3)])
        assert found.totals.parameters == parameters == sum(p.numel() for p in network.parameters())
        assert sum(layer.parameters for layer in found.rows(1)) == parameters
        assert found.totals.macs >= 2 * 3 * 4


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64, torch.float64])
def test_element_types(dtype: torch.dtype) -> None:
    found = trace(nn.Sequential(nn.Linear(3, 4)).to(dtype), [(2, 3)])
    assert found.layers[0].dtype == str(dtype).removeprefix("torch.")
    assert found.layers[0].output_bytes == 2 * 4 * dtype.itemsize
    assert found.totals.macs == 24 * (4 if dtype.is_complex else 1)  # 2 * 3 * 4 products


def test_checkpointing_shows_the_layers_inside() -> None:
    from torch.utils.checkpoint import checkpoint

    class Saves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.inner, x, use_reentrant=False)

    assert [row.path for row in trace(Saves(), [(2, 3)]).layers] == ["inner"]


def test_packed_sequences_count_their_real_steps() -> None:
    class Packs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 5, batch_first=True, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([4, 2]), batch_first=True)
            out, _ = self.lstm(packed)
            return nn.utils.rnn.pad_packed_sequence(out, batch_first=True)[0]

    found = trace(Packs(), [(2, 4, 3)])
    assert found.totals.macs == (4 + 2) * 4 * 5 * (3 + 5)
    assert found.notes == ()


def test_batch_1_in_training_says_what_would_fail() -> None:
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3))
    found = trace(network, [(1, 3, 4, 4)])
    (note,) = found.notes
    assert note.startswith("1 has one value per channel at this batch: training would fail there")
    assert trace(network, [(2, 3, 4, 4)]).notes == ()


def test_source_lines_on_demand() -> None:
    found = trace(Mixed(), [(2, 3, 8, 8)], columns=["source"])
    rows = named(found)
    assert rows["cat"].source.startswith("tests/tracing/networks.py:")
    assert rows["blocks.0"].source.startswith("tests/tracing/networks.py:")
    assert rows["stem"].source.startswith("torch/nn/modules/conv.py:")
    assert all(layer.source == "" for layer in trace(Mixed(), [(2, 3, 8, 8)]).layers)


def test_names_of_operations_never_meet_those_of_modules() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(F.relu(self.relu(x)))

    assert [row.path for row in trace(Clash(), [(2, 3)]).layers] == ["relu", "relu_1", "relu_2"]


def test_the_record_survives_json() -> None:
    found = trace(Mixed(), [(2, 3, 8, 8)], columns=["saved"])
    assert Trace.from_json(found.to_json()) == found


def test_what_is_compiled_runs_as_it_was_written() -> None:
    compile: Any = torch.compile
    inside = nn.Linear(3, 4)
    inside.compile()

    class Compiled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = inside
            self.wrapped = compile(nn.Linear(4, 3))
            self.function = compile(lambda x: x * 2)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.function(self.wrapped(self.inside(x)))
            return result

    found = trace(Compiled(), [(2, 3)])
    assert [layer.path for layer in found.layers] == ["inside", "wrapped", "wrapped._orig_mod", "mul"]
    assert found.totals.macs == 2 * 12 + 2 * 12


def test_vmap_counts_the_whole_batch() -> None:
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Any:
            return torch.vmap(self.inner)(x) + torch.vmap(lambda row: F.linear(row, self.inner.weight))(x)

    assert trace(Maps(), [(5, 3)]).totals.macs == 2 * 5 * 3 * 4


def test_a_failure_that_the_network_catches_is_none() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wrong = nn.Linear(5, 3)
            self.right = nn.Linear(3, 3)
            self.unused = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            try:
                result: Tensor = self.wrong(x)
            except RuntimeError:
                result = self.right(x)
            return result

    found = trace(Tries(), [(2, 3)])
    assert found.failure is None
    assert [(layer.path, layer.call) for layer in found.layers] == [("wrong", 1), ("right", 1), ("unused", 0)]
    assert found.totals.macs == 18


def test_sparse_products_are_uncounted() -> None:
    class Sparse(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = torch.sparse.mm(x.to_sparse(), x.t())
            return result

    totals = trace(Sparse(), [(2, 3)]).totals
    assert "aten::_sparse_addmm" in totals.uncounted_operations
    assert totals.macs == 0


def test_exported_and_symbolic_programs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
    symbolic = torch.fx.symbolic_trace(network)
    assert [layer.path for layer in trace(symbolic, [(1, 3, 8, 8)]).layers] == ["0", "1", "2", "3"]
    exported: nn.Module = torch.export.export(network, (torch.zeros(1, 3, 8, 8),)).module()
    found = trace(exported, [(1, 3, 8, 8)])
    assert found.totals.macs == trace(network, [(1, 3, 8, 8)]).totals.macs == 36 * 4 * 27 + 288
    assert found.totals.parameters == sum(parameter.numel() for parameter in network.parameters())


def test_inference_mode_and_custom_gradients() -> None:
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * 2

    class Uses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Any:
            with torch.inference_mode():
                y = self.inner(x).relu_()
            return y + Double.apply(self.inner(x))

    for columns in ((), ("saved",)):
        found = trace(Uses(), [(2, 3)], columns=columns)
        assert [layer.kind for layer in found.layers] == ["Linear", "relu", "Linear", "mul", "add"]
    with torch.inference_mode():
        assert trace(Uses(), [(2, 3)]).totals.macs == 36
