"""Mixed precision: what computes in bfloat16, what stays float32, and that every output says so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import InputError, RunError
from archlab.records import Run
from archlab.training import train
from archlab.training.precision import computing_in, products_in

SMALL = {"epochs": 1, "train_samples": 200, "test_samples": 60}


class Seen(nn.Module):
    """Notes in which types its layers compute."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm, self.head = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)
        self.types: list[torch.dtype] = []

    def forward(self, x: Tensor) -> Tensor:
        features = self.norm(self.convolution(x))
        result: Tensor = self.head(features.mean((2, 3)))
        self.types = [features.dtype, result.dtype]
        return result


def test_products_are_bfloat16_and_all_that_stays_is_float32() -> None:
    network = computing_in(Seen(), "bf16")
    logits = network(torch.rand(3, 1, 6, 6))
    logits.sum().backward()
    assert network.types == [torch.bfloat16, torch.bfloat16]
    assert logits.dtype == torch.float32
    kept = [*network.parameters(), *network.buffers(), *(parameter.grad for parameter in network.parameters())]
    assert {tensor.dtype for tensor in kept if tensor is not None} == {torch.float32, torch.int64}
    assert not torch.is_autocast_enabled("cpu")


def test_float32_changes_nothing() -> None:
    network = computing_in(Seen(), "fp32")
    network(torch.rand(3, 1, 6, 6))
    assert network.types == [torch.float32, torch.float32]


def test_a_forward_that_fails_leaves_no_autocast() -> None:
    network = computing_in(Seen(), "bf16")
    for shape in ((3, 2, 6, 6), (3, 2, 6, 6)):
        with pytest.raises(RuntimeError):
            network(torch.rand(shape))
        assert not torch.is_autocast_enabled("cpu")
    assert network(torch.rand(3, 1, 6, 6)).dtype == torch.float32


def trained(**changes: object) -> Run:
    return train("lenet", device="cpu", progress=False, **(SMALL | changes))  # type: ignore[arg-type]


def test_a_training_is_near_one_in_float32_and_not_the_same() -> None:
    half, whole = trained(precision="bf16"), trained()
    first, second = half.epochs[0].train_loss, whole.epochs[0].train_loss
    assert first != second
    assert first == pytest.approx(second, rel=0.05)
    assert trained(precision="bf16").epochs[0].test_loss == half.epochs[0].test_loss


def test_a_network_that_refuses_bfloat16_is_told(tmp_path) -> None:  # type: ignore[no-untyped-def]
    class Refuses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = torch.linalg.inv(self.head(x.flatten(1))[:, :1, None].repeat(1, 2, 2))[:, 0]
            return result

    with pytest.raises(RunError, match="the network failed on a batch"):
        train(Refuses, precision="bf16", store=tmp_path, progress=False, **SMALL)  # type: ignore[arg-type]
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize(("precision", "allowed", "products"), [("fp32", False, "highest"), ("tf32", True, "high")])
def test_tf32_holds_for_a_whole_training_and_no_longer(precision: str, allowed: bool, products: str) -> None:
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision(), torch.backends.cudnn.enabled
    with products_in(precision):
        assert torch.backends.cudnn.allow_tf32 == allowed
        assert torch.get_float32_matmul_precision() == products
        assert torch.backends.cudnn.enabled, "without cuDNN convolutions on an accelerator take many times as long"
    assert before == (
        torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.enabled,
    )


def test_a_processor_has_no_tf32() -> None:
    with pytest.raises(InputError, match="the precision is tf32, which cpu has not: choose fp32 or bf16"):
        trained(precision="tf32")


def test_a_training_has_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    forward = nn.Linear.forward

    def look(layer: nn.Linear, x: Tensor) -> Tensor:
        seen.append(torch.backends.cudnn.enabled)
        return forward(layer, x)

    monkeypatch.setattr(nn.Linear, "forward", look)
    trained()
    assert set(seen) == {True}
