"""Loops of other people's, each of them with and without a watch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import archlab
from archlab.training.watching import WatchedRun

IMAGES = torch.randn(48, 1, 8, 8, generator=torch.Generator().manual_seed(3))
LABELS = torch.randint(0, 3, (48,), generator=torch.Generator().manual_seed(4))
BATCH = 16


class Net(nn.Module):
    """A small network of what matters: BatchNorm, dropout, an activation in place, a block that may be checkpointed."""

    def __init__(self, *, checkpointed: bool | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(4 * 36, 3)
        self._checkpointed = checkpointed  # by the reentrant way or not

    def forward(self, images: Tensor) -> Tensor:
        """(images, 3)."""
        x = self.relu(self.norm(self.conv(images)))
        again = self._checkpointed is not None and self.training
        x = checkpoint(self.block, x, use_reentrant=self._checkpointed) if again else self.block(x)
        return self.head(self.drop(x.flatten(1)))  # type: ignore[no-any-return]


Result = tuple[dict[str, Tensor], Tensor, Any]
"""Parameters, buffers and states of the optimiser; the random state; what the loop returns."""


def trained(
    store: str | None,
    *,
    make: Callable[[], nn.Module] = Net,
    wrap: Callable[[nn.Module], Any] = lambda network: network,
    optimizer: Callable[..., torch.optim.Optimizer] = torch.optim.Adam,
    scaler: torch.amp.GradScaler | None = None,
    half: bool = False,
    accumulated: int = 1,
    closure: bool = False,
    frozen: bool = False,
    epochs: int = 2,
    watches: dict[str, Any] | None = None,
) -> Result:
    """Train a network; watched where there is a store."""
    torch.manual_seed(0)
    network = make()
    if frozen:
        network.conv.requires_grad_(False)
    model = wrap(network)
    update = optimizer([held for held in network.parameters() if held.requires_grad], lr=0.01)
    run = (
        archlab.watch(model, update, store=store, **{"every": 2, "record_every": 1, **(watches or {})})
        if store
        else None
    )
    with run or nullcontext():
        for _ in range(epochs):
            network.train()
            if frozen:
                network.norm.eval()  # type: ignore[union-attr]
            for place, start in enumerate(range(0, len(IMAGES), BATCH), start=1):
                images, labels = IMAGES[start : start + BATCH], LABELS[start : start + BATCH]

                def compute(
                    images: Tensor = images, labels: Tensor = labels, first: bool = place % accumulated == 1
                ) -> Tensor:
                    if first or accumulated == 1:
                        update.zero_grad()
                    with torch.autocast("cpu", enabled=half):
                        loss = F.cross_entropy(model(images), labels) / accumulated
                    (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
                    return loss

                loss = update.step(compute) if closure else compute()  # type: ignore[arg-type]
                if not closure and place % accumulated == 0:
                    if scaler is None:
                        update.step()
                    else:
                        scaler.step(update)
                        scaler.update()
                if run is not None:
                    run.step(loss=loss)
            network.eval()
            with torch.no_grad():
                accuracy = (model(IMAGES).argmax(1) == LABELS).float().mean()
            if run is not None:
                run.epoch(test_accuracy=accuracy)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    for number, held in update.state_dict()["state"].items():
        state |= {f"{number}.{name}": value for name, value in held.items() if isinstance(value, Tensor)}
    return state, torch.get_rng_state(), run


def hooks(network: nn.Module) -> int:
    """How many hooks there are on a network and its parts."""
    names = [name for name in vars(network) if name.endswith("_hooks")]
    return sum(len(getattr(module, name)) for module in network.modules() for name in names)


def run_of(result: Result) -> WatchedRun:
    """The watch of a loop."""
    run: WatchedRun = result[2]
    return run
