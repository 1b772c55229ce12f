"""What is drawn of the layers of several runs: quantities, and the choices of run, layers and step above them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Literal

from archlab.analysis import layers
from archlab.analysis.wording import counted
from archlab.records import LayerSeries, Probes
from archlab.reports.charts.parts import layer_axis, layer_label, seeds_of
from archlab.reports.panel import Exact, Pick, Switch

VALUE_BUDGET = 200_000
"""Numbers that the panel embeds at most, as long as a seed with `FEWEST_LOOKS` looks has fewer: about 1.1 MB."""
MOST_LOOKS = 24
FEWEST_LOOKS = 6
"""Before fewer looks than these are drawn, seeds are left out."""


UPDATE_RATIO = (1e-4, 1e-2)
"""A factor of ten on both sides of 0.001, around which it should lie (Stanford CS231n, Neural networks 3, Ratio of
weights to updates)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is measured of each layer."""

    name: str
    probe: Literal["signals", "rank", "shift"]
    title: str
    """Among the choices."""
    axis: str
    scale: Literal["log", "linear", "share", "cosine"] = "log"
    usual: tuple[float, float] | None = None
    """Where it lies in trainings that go well, if that is known."""


QUANTITIES = (
    Quantity("gradient_norm", "signals", "gradient: norm", "norm of the gradient that comes back"),
    Quantity("activation_norm", "signals", "activation: norm", "norm of what the layer gives"),
    Quantity("activation_mean", "signals", "activation: mean", "mean of what the layer gives", "linear"),
    Quantity("activation_variance", "signals", "activation: variance", "variance of what the layer gives"),
    Quantity("activation_zeros", "signals", "activation: share of zeros", "share that is exactly 0", "share"),
    Quantity("activation_saturated", "signals", "activation: share saturated", "share that is saturated", "share"),
    Quantity("weight_gradient_norm", "signals", "weights: norm of the gradient", "norm of the weights’ gradient"),
    Quantity("update_ratio", "signals", "weights: update ratio", "change per step / weight norm", usual=UPDATE_RATIO),
    Quantity("effective_rank", "rank", "features: effective rank", "dimensions that features use", "linear"),
    Quantity("feature_saturation", "rank", "features: saturation", "share of dimensions for 99 %", "share"),
    Quantity("shift", "shift", "internal covariate shift", "change of the gradient, |G − G′|"),
    Quantity("shift_cosine", "shift", "shift: cosine", "cosine of G and G′", "cosine"),
)
"""In the order in which they are offered."""


PROBES = ("signals", "rank", "shift")


class Layered:
    """What is drawn of all runs: few enough looks and seeds, the layers of all variants in one order.

    Args:
        found: variant -> seed -> what was probed.
        budget: numbers that may be drawn.
    """

    def __init__(self, found: Mapping[str, Mapping[int, Probes]], budget: int) -> None:
        runs = [probes for by_seed in found.values() for probes in by_seed.values()]
        self.layers = {probe: layers.merged(series.layers for series in series_of(runs, probe)) for probe in PROBES}
        self.blocks = layers.merged(series.layers for series in series_of(runs, "branches"))
        self.images = max(series.images for probe in PROBES for series in series_of(runs, probe))
        self._weighted = {name for series in series_of(runs, "signals") for name in layers.with_weights(series)}
        self.quantities = [quantity for quantity in QUANTITIES if _is_measured(runs, quantity)]
        per_look = len(self.blocks) + sum(len(self.layers[quantity.probe]) for quantity in self.quantities)
        every = seeds_of(found)
        self.seeds = every[: max(1, budget // (FEWEST_LOOKS * per_look * len(found)))]
        self._left_out = len(every) - len(self.seeds)
        self.found = {
            variant: {seed: probes for seed, probes in by_seed.items() if seed in self.seeds}
            for variant, by_seed in found.items()
        }
        drawn = [probes for by_seed in self.found.values() for probes in by_seed.values()]
        self.quantities = [quantity for quantity in self.quantities if _is_measured(drawn, quantity)]
        steps = [series.steps for probe in (*PROBES, "branches") for series in series_of(drawn, probe)]
        self._looks = len({step for of_run in steps for step in of_run})
        most = min(MOST_LOOKS, max(FEWEST_LOOKS, budget // (per_look * len(drawn))))
        self.steps = layers.shown_steps(steps, most)
        self.values = cache(self._values)
        self.places = cache(self._places)

    def _values(self, variant: str, seed: int, quantity: Quantity) -> Exact:
        """(layers, steps) of a run, as one node however often it is asked for; all NaN where there is no such run."""
        series = getattr(self.found[variant].get(seed), quantity.probe, None)
        return Exact(layers.placed(series, quantity.name, self.layers[quantity.probe], self.steps))

    def every(self, quantity: Quantity) -> Any:
        """(layers, steps of all runs, one run's behind those of another)."""
        import numpy as np

        runs = [(variant, seed) for variant, seeds in self.found.items() for seed in seeds]
        return np.concatenate([self.values(*run, quantity).of for run in runs], axis=1)

    def _places(self, quantity: Quantity, everything: bool) -> list[int]:
        """Places of the layers that have the quantity; unless all are wanted, of those that it says most about."""
        import numpy as np

        values = self.every(quantity)
        having = [place for place, row in enumerate(values) if not np.isnan(row).all()]
        if everything or quantity.probe != "signals":
            return having
        if quantity.name in ("activation_zeros", "activation_saturated"):
            telling = [place for place in having if np.nanmax(values[place]) > 0]
        else:
            telling = [place for place in having if self.layers["signals"][place] in self._weighted]
        return telling or having

    def has_more(self) -> bool:
        """Whether layers of some quantity are left out at first."""
        return any(self.places(quantity, False) != self.places(quantity, True) for quantity in self.quantities)

    def by_quantity(self, part: Callable[[Quantity], Any]) -> Switch:
        """A node for something that each quantity has."""
        return Switch("quantity", {quantity.name: part(quantity) for quantity in self.quantities})

    def by_layers(self, part: Callable[[Quantity, list[int]], Any]) -> Switch:
        """A node for something that depends on the quantity and on the places of the layers that are shown."""
        return self.by_quantity(
            lambda quantity: Switch(
                "layers", {state: part(quantity, self.places(quantity, state == "on")) for state in ("off", "on")}
            )
        )

    def names(self, quantity: Quantity, places: list[int]) -> list[str]:
        """The layers at some places."""
        return [self.layers[quantity.probe][place] for place in places]

    @cached_property
    def labels(self) -> Switch:
        """The names of the layers that are shown."""
        return self.by_layers(lambda quantity, places: [*map(layer_label, self.names(quantity, places))])

    def axis(self, title: str) -> Switch:
        """An axis of the layers that are shown."""
        return self.by_layers(lambda quantity, places: layer_axis(self.names(quantity, places), title))

    @cached_property
    def _shown(self) -> dict[str, Switch]:
        """Quantity -> the places of its layers that are shown."""
        return {
            quantity.name: Switch("layers", {state: self.places(quantity, state == "on") for state in ("off", "on")})
            for quantity in self.quantities
        }

    def matrix(self, variant: str, seed: int, quantity: Quantity) -> Pick:
        """A node for a run's values, (layers that are shown, steps)."""
        return Pick(self.values(variant, seed, quantity), self._shown[quantity.name])

    def notes(self) -> list[str]:
        """What is not drawn, in sentences."""
        notes = []
        if self._looks > len(self.steps):
            notes.append(f"Of {self._looks:,} looks {len(self.steps)} are shown, evenly spread.")
        if self._left_out:
            notes.append(f"Of {self._left_out + len(self.seeds)} seeds the first {len(self.seeds)} can be chosen.")
        logarithmic = [quantity for quantity in self.quantities if quantity.scale == "log"]
        for variant, runs in self.found.items():
            values = [self.values(variant, seed, quantity).of for seed in runs for quantity in logarithmic]
            holes = sum(map(layers.unlogarithmic, values))
            if holes:
                notes.append(
                    f"{variant}: exactly 0 or infinite, and so not on a logarithmic axis: {counted(holes, 'value')}."
                )
        if any(quantity.name in ("update_ratio", "shift") for quantity in self.quantities):
            notes.append("Update ratio and shift are of the step before a look: there are none at step 0.")
        if self.blocks:
            heard = [variant for variant, runs in self.found.items() if series_of(runs.values(), "signals")]
            notes += [
                f"{variant}: no skip connection that is added."
                for variant in heard
                if not series_of(self.found[variant].values(), "branches")
            ]
        return notes


def series_of(runs: Iterable[Probes], probe: str) -> list[LayerSeries]:
    """What a probe found, of the runs that had it."""
    return [series for probes in runs if (series := getattr(probes, probe)) is not None]


def _is_measured(runs: Sequence[Probes], quantity: Quantity) -> bool:
    import numpy as np

    found = (series.quantities.get(quantity.name) for series in series_of(runs, quantity.probe))
    return any(values is not None and not np.isnan(values).all() for values in found)
