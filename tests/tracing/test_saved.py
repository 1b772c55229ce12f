"""The bytes that autograd keeps, against what it really keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as zoo
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from archlab.records import Shape
from archlab.tracing import trace


def really_saved(network: nn.Module, *inputs: Tensor) -> int:
    """Bytes of the storages that autograd saves in a forward pass, without parameters."""
    seen: dict[int, Tensor] = {parameter.untyped_storage().data_ptr(): parameter for parameter in network.parameters()}
    total = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen[storage.data_ptr()] = tensor
            total += storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        network(*inputs)
    return total


NETWORKS = [
    *("resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0", "convnext_tiny", "squeezenet1_0"),
    *("shufflenet_v2_x0_5", "regnet_y_400mf", "mnasnet0_5", "swin_t"),
]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_ten_networks_to_the_byte(name: str, training: bool) -> None:
    network = zoo.get_model(name, weights=None).train(training)
    found = trace(network, [(2, 3, 64, 64)], columns=["saved"])
    assert found.totals.saved_bytes == really_saved(network, torch.zeros(2, 3, 64, 64))


def test_resnet_50_at_batch_4_and_96() -> None:
    """63.6 MB, where a popular estimate says 130.7."""
    network = zoo.get_model("resnet50", weights=None)
    assert trace(network, [(4, 3, 96, 96)], columns=["saved"]).totals.saved_bytes == 63_568_896


def test_rows_say_who_saves_what() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3))
    found = trace(network, [(2, 3, 8, 8)], columns=["saved"])
    # conv: its input 2 * 3 * 64; norm: its input 2 * 4 * 36, mean and deviation of the batch and the running ones
    # 4 * 4; relu: its result 2 * 4 * 36; conv: the same storage again
    assert [layer.saved_bytes for layer in found.layers] == [4 * 384, 4 * (288 + 16), 4 * 288, 0]
    assert found.totals.saved_bytes == 4 * (384 + 288 + 16 + 288)


def test_nothing_is_said_where_nobody_asked() -> None:
    found = trace("lenet")
    assert found.totals.saved_bytes is None
    assert found.layers[0].saved_bytes is None


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"is_causal": True},
        {"attn_mask": torch.zeros(16, 16)},
        {"attn_mask": torch.ones(16, 16, dtype=torch.bool)},
        {"dropout_p": 0.1},
        {"enable_gqa": True},
    ],
    ids=str,
)
def test_attention_keeps_what_a_fused_kernel_keeps(options: dict[str, Any]) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(24, 72)

        def forward(self, x: Tensor) -> Tensor:
            query, key, value = self.project(x).view(2, 16, 3, 3, 8).permute(2, 0, 3, 1, 4).unbind(0)
            return F.scaled_dot_product_attention(query, key, value, **options)

    network = Heads()
    found = trace(network, [(2, 16, 24)], columns=["saved"])
    assert found.totals.saved_bytes == really_saved(network, torch.zeros(2, 16, 24))


def test_frozen_networks_save_nothing() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).requires_grad_(False)
    assert trace(network, [(2, 3)], columns=["saved"]).totals.saved_bytes == 0


class Checkpointed(nn.Module):
    """A block that is run again in the backward pass, between layers that aren't."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first = nn.Linear(16, 16)
        self.block = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.head = nn.Linear(16, 4)
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Any:
        return self.head(checkpoint(self.block, self.first(x), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_a_checkpoint_keeps_stands_in_the_row_that_it_runs_again(reentrant: bool, wrapped: bool) -> None:
    network = Checkpointed(reentrant)
    found = trace(nn.Sequential(network) if wrapped else network, [(1, 16)], columns=["saved"])
    rows = {layer.path.removeprefix("0."): layer.saved_bytes for layer in found.layers}
    # each keeps its input, 16 * 4 bytes; inside the block nothing is kept
    assert [rows[path] for path in ("first", "block", "head", "block.0", "block.1", "block.2")] == [64, 64, 64, 0, 0, 0]
    assert sum(layer.saved_bytes or 0 for layer in found.rows(1)) == found.totals.saved_bytes == 192
    assert really_saved(network, torch.zeros(1, 16)) == 192


def test_a_function_of_ones_own_saves_in_its_last_row() -> None:
    class Exponential(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            result = x.exp()
            ctx.save_for_backward(result)
            return result

    class Uses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Any:
            return self.second(Exponential.apply(self.first(x)))

    found = trace(Uses(), [(1, 4)], columns=["saved"])
    assert [(row.path, row.saved_bytes) for row in found.layers] == [("first", 16), ("exp", 16), ("second", 0)]


def test_lazy_layers_save_no_weights() -> None:
    assert trace(nn.Sequential(nn.LazyLinear(4)), [(2, 3)], columns=["saved"]).totals.saved_bytes == 4 * 2 * 3


class After(nn.Module):
    """A layer or function after a linear layer, whose result has a gradient."""

    def __init__(self, after: Any) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.after = after

    def forward(self, x: Tensor) -> Any:
        return self.after(self.first(x))


def attended(*mask: int) -> Any:
    """Attention of a sequence to itself, with a mask of some sizes."""
    return lambda x: F.scaled_dot_product_attention(x, x, x, torch.zeros(mask) if mask else None)


MEAN, SPREAD = torch.zeros(8), torch.ones(8)
SAVING = [
    *((nn.Conv2d(4, 6, 3, groups=2), (2, 4, 9, 9)), (nn.ConvTranspose2d(4, 6, 3), (2, 4, 5, 5))),
    *((nn.Linear(4, 6), (2, 4)), (nn.LayerNorm(8), (2, 3, 8)), (nn.RMSNorm(8), (2, 3, 8))),
    *((nn.GroupNorm(2, 4), (2, 4, 3, 5)), (nn.InstanceNorm2d(4), (2, 4, 3, 5)), (nn.Embedding(9, 4), (2, 3))),
    *((nn.BatchNorm2d(4), (2, 4, 3, 5)), (nn.BatchNorm2d(4).eval(), (2, 4, 3, 5))),
    *((nn.BatchNorm2d(4, track_running_stats=False).eval(), (2, 4, 3, 5)), (nn.BatchNorm1d(4), (3, 4))),
    (nn.InstanceNorm2d(4, affine=True, track_running_stats=True).eval(), (2, 4, 3, 5)),
    *((nn.GRU(8, 4, 2, dropout=0.5), (5, 2, 8)), (nn.LSTMCell(8, 4), (2, 8)), (nn.GRUCell(8, 4), (2, 8))),
    *((After(layer), (3, 8)) for layer in (nn.ReLU(), nn.ReLU(True), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.PReLU())),
    *((After(layer), (3, 8)) for layer in (nn.Softmax(-1), nn.Dropout(0.3), nn.Dropout(0.0), nn.GLU(), nn.Tanh())),
    *((After(layer), (2, 3, 8, 8)) for layer in (nn.MaxPool2d(2, return_indices=True), nn.AvgPool2d(2))),
    (After(lambda x: F.batch_norm(x, MEAN, SPREAD)), (3, 8)),
    (After(lambda x: F.cross_entropy(x, torch.zeros(3, dtype=torch.int64))), (3, 8)),
    *((After(function), (3, 8)) for function in (lambda x: x + x, lambda x: x * x, lambda x: torch.cat([x, x]))),
    *((After(function), (3, 8)) for function in (lambda x: x @ x.t(), lambda x: x.max(1)[0], lambda x: x.var())),
    *((After(attended(*mask)), (2, 5, 8)) for mask in ((), (5, 5), (2, 5, 5))),
    *((After(attended()), shape) for shape in ((2, 2, 5, 8), (5, 8))),
    (nn.TransformerEncoderLayer(8, 2, 16), (5, 2, 8)),
]


def called(value: Any) -> str:
    """What a case is called."""
    return type(value).__name__ if isinstance(value, nn.Module) else "x".join(map(str, value))


@pytest.mark.parametrize(("network", "shape"), SAVING, ids=called)
def test_each_kind_of_layer_to_the_byte(network: nn.Module, shape: Shape) -> None:
    x = torch.ones(shape, dtype=torch.int64 if isinstance(network, nn.Embedding) else torch.float32)
    found = trace(network, [x], columns=["saved"])
    assert found.totals.saved_bytes == really_saved(network, x)
    assert not found.notes


def test_running_statistics_are_kept_beside_those_of_the_batch() -> None:
    found = trace(nn.BatchNorm2d(4), [(2, 4, 3, 5)], columns=["saved"])
    # the input 2 * 4 * 3 * 5; mean and deviation of the batch and the running ones 4 * 4; four bytes each
    assert found.totals.saved_bytes == 4 * (120 + 16) == 544
