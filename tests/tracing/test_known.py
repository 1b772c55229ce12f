import torch
from torch import Tensor, nn

from archlab.tracing import trace


class Asks(nn.Module):
    """Makes positions where its input is, and asks something of them."""

    def __init__(self, ask: str) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.ask = ask

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[1], device=x.device)
        match self.ask:
            case "positions":
                known = bool((positions[None].diff(dim=-1) == 1).all())
            case "like":
                known = int(torch.ones_like(x[..., 0]).sum()) == x.shape[0] * x.shape[1]
            case "changed":
                view = positions[1:]
                positions.mul_(2)
                known = int(view[0]) == 2
            case "written from the input":
                view = positions[1:]
                positions[0] = x.sum()
                known = int(view[0]) == 1
            case "written by out":
                torch.add(positions, 1, out=positions)
                known = int(positions[0]) == 1
            case "of the input":
                known = bool((positions * x[0, :, 0] >= 0).all())
            case _:  # a table of more than 2^20 numbers
                known = bool(torch.ones(1025, 1024, device=x.device).all())
        return self.layer(x) if known else x


def real(ask: str) -> bool:
    """Whether the network had to be run with values; its layer always is."""
    found = trace(Asks(ask), [(1, 5, 4)])
    assert found.totals.macs == 5 * 4 * 4
    return any("real arithmetic" in note for note in found.notes)


def test_values_of_small_tables_are_known() -> None:
    assert not real("positions")
    assert not real("like")


def test_values_are_known_behind_a_change() -> None:
    assert not real("changed")
    assert not real("written by out")


def test_what_is_of_the_input_or_large_is_run() -> None:
    assert real("written from the input")
    assert real("of the input")
    assert real("large")


class Draws(nn.Module):
    """Draws from a table that it makes where its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.bernoulli(torch.full((4,), 0.5, device=x.device))


def test_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    trace(Draws(), [(1, 5, 4)])
    assert torch.equal(torch.get_rng_state(), before)
