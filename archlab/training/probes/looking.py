"""Looks with every probe that a run asks for, and keeps what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks import members
from archlab.records import GradientCorrelation, Landscape, Probes, Similarity, TrainingConfig
from archlab.training.datasets import Split
from archlab.training.probes import correlation, landscape, shift
from archlab.training.probes.features import MOST_LAYERS, SIMILAR_IMAGES, Features, alignment, spread
from archlab.training.probes.listening import Listener, has_weights, listening
from archlab.training.probes.signals import Signals
from archlab.training.probes.smoothness import SmoothnessProbe
from archlab.training.probes.surface import Surface, TrainingLoss
from archlab.training.probes.table import LayerTable


class Probing:
    """The probes of one training.

    Args:
        network: in training mode.
        forward: from images to logits through the network.
        split: the training images.
        config: what is probed, and how often.
        images: how many training images are looked at; by default `surface.PROBED_IMAGES`.
    """

    def __init__(
        self,
        network: nn.Module,
        forward: Callable[[Tensor], Tensor],
        split: Split,
        config: TrainingConfig,
        images: int | None = None,
    ) -> None:
        self._network = network
        self._loss = TrainingLoss(forward, split, config.seed, images)
        self._surface = Surface(network, self._loss, len(self._loss.labels))
        self._config = config
        self._chosen = set(config.probed)
        self._before: dict[str, Tensor] | None = None
        self._smoothness = SmoothnessProbe(self._surface) if "smoothness" in self._chosen else None
        self._landscape: Landscape | None = None
        self._losses: list[Tensor] = []  # of the landscape's points so far
        self._order: dict[str, nn.Module] = {}  # the layers, as they are first called
        self._weighted: set[str] = set()  # names of calls of layers with weights
        self._signals, self._branches, self._shift, self._rank = (
            LayerTable(names) for names in (Probes.SIGNALS, Probes.BRANCHES, Probes.SHIFT, Probes.RANK)
        )
        self._similarity = _Similarities()
        self._correlation = LayerTable(("correlation",))
        self.looks = 0
        """How often it has looked."""

    def due(self, step: int) -> bool:
        """Whether to look after that many steps."""
        return self._config.probe_every > 0 and step % self._config.probe_every == 0

    def before(self) -> None:
        """Keep the weights before a step after which there is a look."""
        if self._chosen & {"signals", "shift"}:
            self._before = {name: held.detach().clone() for name, held in self._surface.parameters.items()}

    def look(self, step: int) -> None:
        """Measure at the weights as they are after that many steps; all is put back."""
        if self._smoothness is not None:
            self._smoothness.look(step)
        if self._chosen & {"signals", "rank", "similarity"} or ("shift" in self._chosen and not self._order):
            self._pass_through(step, self._chosen)
        if "shift" in self._chosen and self._before is not None:
            self._measure_shift(step, self._before)
        if "correlation" in self._chosen:
            with self._surface.moving():
                found = correlation.gradient_correlation(self._loss)
            self._correlation.add(step, {str(place): [value] for place, value in enumerate(found)})
        self._before = None
        self.looks += 1

    def look_at_end(self, step: int) -> None:
        """Measure the signals at the weights as they are after the last step, if that has had no look."""
        if step not in self._signals.steps:
            self._pass_through(step, {"signals"})
            self._before = None
            self.looks += 1

    def measure_landscape(self, on_point: Callable[[int], None]) -> None:
        """Measure the landscape around the weights as they are."""
        size, seed = self._config.landscape, self._config.seed
        self._landscape = landscape.measure(self._surface, seed, size, on_point, self._losses)

    def found(self) -> Probes | None:
        """Everything so far; None where there is nothing yet."""
        images = self._surface.images
        probes = Probes(
            smoothness=None if self._smoothness is None else self._smoothness.smoothness(),
            landscape=self._landscape,
            signals=self._signals.series(images, self._weighted),
            branches=self._branches.series(images, self._weighted),
            shift=self._shift.series(images, self._weighted),
            rank=self._rank.series(images, self._weighted),
            similarity=self._similarity.similarity(min(images, SIMILAR_IMAGES)),
            correlation=self._correlations(),
        )
        return None if probes == Probes() else probes

    def state(self) -> dict[str, Any]:
        """Everything so far, between two steps, as a tree of plain values and tensors."""
        paths = {module: path for path, module in members.named_modules(self._network)}
        return {
            "before": self._before,
            "smoothness": None if self._smoothness is None else self._smoothness.state(),
            "losses": self._losses,
            "order": {name: paths[module] for name, module in self._order.items()},
            "weighted": self._weighted,
            "tables": [table.state() for table in self._tables],
            "similarity": self._similarity.state(),
            "looks": self.looks,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        device, modules = self._loss.labels.device, dict(members.named_modules(self._network))
        before = state["before"]
        self._before = None if before is None else {name: value.to(device) for name, value in before.items()}
        if self._smoothness is not None:
            self._smoothness.restore(state["smoothness"], device)
        self._losses = [loss.to(device) for loss in state["losses"]]
        self._order = {name: modules[path] for name, path in state["order"].items()}
        self._weighted, self.looks = state["weighted"], state["looks"]
        for table, held in zip(self._tables, state["tables"], strict=True):
            table.restore(held, device)
        self._similarity.restore(state["similarity"], device)

    @property
    def _tables(self) -> list[LayerTable]:
        return [self._signals, self._branches, self._shift, self._rank, self._correlation]

    def _pass_through(self, step: int, chosen: Set[str]) -> None:
        """One forward pass, and a backward pass where gradients are wanted."""
        surface, loss = self._surface, self._loss
        signals = Signals(self._network, surface.parameters, self._before if step else None)
        features = Features("rank" in chosen, "similarity" in chosen)
        order = _Order()
        listeners: list[Listener] = [order]
        listeners += [signals] if "signals" in chosen else []
        listeners += [features] if chosen & {"rank", "similarity"} else []
        with surface.moving():
            with torch.enable_grad(), listening(self._network, loss.images, listeners) as images:
                value = nn.functional.cross_entropy(loss.logits(images), loss.labels)
            if "signals" in chosen:
                found = torch.autograd.grad(value, [*surface.parameters.values()], materialize_grads=True)
                signals.note_weights(dict(zip(surface.parameters, found, strict=True)))
        self._order = self._order or order.layers
        self._weighted |= order.weighted
        self._signals.add(step, signals.layers)
        self._branches.add(step, signals.joins)
        self._rank.add(step, features.ranks)
        self._similarity.add(step, features.kernels)

    def _measure_shift(self, step: int, before: Mapping[str, Tensor]) -> None:
        names = {held: name for name, held in self._surface.parameters.items()}
        own = [
            [names[held] for held in module.parameters(recurse=False) if held in names]
            for module in self._order.values()
        ]
        if not own:  # a network without layers
            return
        held_by_layers = {name for names in own for name in names}
        # What the network itself holds, a position embedding for instance, counts to its first layer.
        own[0] += [name for name in self._surface.parameters if "." not in name and name not in held_by_layers]
        weighted = [place for place, module in enumerate(self._order.values()) if has_weights(module)]
        places = spread([place for place in weighted if any(own[:place])], shift.MOST_LAYERS)
        if not places:  # a network of one layer
            return
        rows = shift.covariate_shift(self._surface, own, places, before)
        layers = list(self._order)
        self._shift.add(step, {layers[place]: row for place, row in zip(places, rows, strict=True)})

    def _correlations(self) -> GradientCorrelation | None:
        series = self._correlation.series(0, set())
        if series is None:
            return None
        return GradientCorrelation(
            steps=series.steps,
            distances=correlation.distances().numpy(),
            correlation=series.quantities["correlation"],
            lines=correlation.lines_of(self._loss.images),
        )


class _Order(Listener):
    """The layers in the order in which they are first called."""

    def __init__(self) -> None:
        self.layers: dict[str, nn.Module] = {}
        self.weighted: set[str] = set()
        """Of all calls, those of layers with weights."""
        self._seen: set[nn.Module] = set()

    def layer(self, name: str, module: nn.Module, output: Tensor) -> None:
        if has_weights(module):
            self.weighted.add(name)
        if module not in self._seen:
            self._seen.add(module)
            self.layers[name] = module


class _Similarities:
    """The alignments of the layers, look by look."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._steps: list[int] = []
        self._alignments: list[Tensor] = []
        self._last = torch.empty(0)

    def add(self, step: int, kernels: Mapping[str, Tensor]) -> None:
        """Add a look; its layers are those of the first."""
        if not kernels:
            return
        self._names = self._names or spread(list(kernels), MOST_LAYERS)
        missing = torch.full_like(next(iter(kernels.values())), torch.nan)
        self._last = torch.stack([kernels.get(name, missing) for name in self._names])
        self._steps.append(step)
        self._alignments.append(alignment(self._last))

    def state(self) -> dict[str, Any]:
        """Everything so far, as a tree of plain values and tensors."""
        return {"names": self._names, "steps": self._steps, "alignments": self._alignments, "last": self._last}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from there."""
        self._names, self._steps, self._last = state["names"], state["steps"], state["last"].to(device)
        self._alignments = [alignment.to(device) for alignment in state["alignments"]]

    def similarity(self, images: int) -> Similarity | None:
        """Everything so far; None where there is nothing."""
        if not self._steps:
            return None
        return Similarity(
            steps=tuple(self._steps),
            layers=tuple(self._names),
            alignment=torch.stack(self._alignments).cpu().numpy(),
            last=self._last.cpu().numpy(),
            images=images,
        )
