"""What checkpoints run again in the backward pass: which rows, and how much, as torch's own counter sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from archlab.tables.trace import footer
from tests.tracing.test_backward import followed, really_run


class Checkpointed(nn.Module):
    """A block that runs again in the backward pass, between layers that don't."""

    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(16, 16), nn.Linear(16, 4)
        self.block = nn.Sequential(nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Any:
        return self.head(checkpoint(self.block, self.first(x), use_reentrant=self.reentrant))


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_runs_again_stands_apart(reentrant: bool) -> None:
    network = Checkpointed(reentrant)
    found = followed(network, (1, 16))
    rows = {layer.path: (layer.macs, layer.backward_macs, layer.recomputed_macs) for layer in found.layers}
    # without re-entrance torch stops as soon as all is saved again: the last layer's result isn't needed
    last = 64 * 16 if reentrant else 0
    assert rows["first"] == (16 * 16, 16 * 16, 0)
    assert rows["block.0"] == (16 * 64, 2 * 16 * 64, 16 * 64)
    assert rows["block.2"] == (64 * 16, 2 * 64 * 16, last)
    assert rows["head"] == (16 * 4, 2 * 16 * 4, 0)
    assert found.totals.recomputed_macs == 16 * 64 + last
    forward, behind = really_run(network, torch.zeros(1, 16))
    assert found.totals.step_macs == forward + behind
    assert f" + recomputation {16 * 64 + last:,} = {forward + behind:,} MACs." in footer(found)[3]


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_in_series_fill_the_rows_of_each(reentrant: bool) -> None:
    class Series(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.blocks = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6)))

        def forward(self, x: Tensor) -> Any:
            return checkpoint_sequential(self.blocks, 3, self.first(x), use_reentrant=reentrant)  # type: ignore[no-untyped-call]

    network = Series()
    found = followed(network, (2, 4))
    again = [layer.recomputed_macs for layer in found.layers if layer.path.startswith("blocks.")]
    assert again == ([32, 32, 32, 32, 0, 0] if reentrant else [32, 0, 32, 0, 0, 0])  # the last segment isn't one
    assert found.totals.step_macs == sum(really_run(network, torch.zeros(2, 4)))


@pytest.mark.parametrize("reentrant", [False, True])
def test_functions_frozen_parts_and_constants_inside_a_checkpoint(reentrant: bool) -> None:
    class Inside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.teacher, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def part(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                judged = self.teacher(x)
            y = x @ judged.mT @ x + torch.arange(4)
            return self.last(y).relu()  # type: ignore[no-any-return]

        def forward(self, x: Tensor) -> Any:
            y = self.first(x)
            return checkpoint(self.part, y.clone(), use_reentrant=reentrant) + y @ y.mT @ y

    network = Inside()
    found = followed(network, (3, 4))
    assert found.totals.step_macs == sum(really_run(network, torch.zeros(3, 4)))
    again = {layer.path: layer.recomputed_macs for layer in found.layers if layer.macs}
    # teacher 3 * 4 * 4, two products of 3 * 3 * 4, the last layer 3 * 4 * 4: all that is saved comes before the ReLU's
    paths = ["first", "teacher", "matmul", "matmul_1", "last", "matmul_2", "matmul_3"]
    assert [again[path] for path in paths] == [0, 48, 36, 36, 48, 0, 0]


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of the inner one, in a first pass
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpoints_in_a_checkpoint(reentrant: bool) -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.outer, self.inner, self.last = (nn.Linear(4, 4) for _ in range(4))

        def both(self, x: Tensor) -> Tensor:
            y = checkpoint(lambda z: self.inner(z).tanh(), self.outer(x), use_reentrant=reentrant)
            return self.last(y).tanh()  # type: ignore[no-any-return]

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.both, self.first(x), use_reentrant=reentrant)

    network = Nested()
    found = followed(network, (2, 4))
    again = {layer.path: layer.recomputed_macs for layer in found.layers if layer.macs}
    assert again == {"first": 0, "outer": 32, "inner": 64, "last": 32}  # the inner one runs three times in all
    assert found.totals.step_macs == sum(really_run(network, torch.zeros(2, 4)))
