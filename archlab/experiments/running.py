"""An experiment as trainings: its parts become designs, their runs comparisons, and these a verdict on the claim."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from archlab.analysis.claims import CLAIMABLE, PRIMARY
from archlab.analysis.expectations import checked_expectations, claim_verdict, outcomes
from archlab.analysis.metrics import BY_NAME
from archlab.analysis.variants import shared_items
from archlab.comparing.conducting import conduct
from archlab.comparing.designing import Design, design, seeds_of, seeds_text
from archlab.comparing.searching import rate_grid, rounds, search
from archlab.errors import InputError
from archlab.records import Comparison, Probes, TrainingConfig, Value, VariantResult
from archlab.records.config import configured, consistent
from archlab.records.experiment import Experiment, ExperimentResult, Outcome, Part
from archlab.records.search import RateSearch
from archlab.records.settings import settings, varying
from archlab.training.execution import Execution

if TYPE_CHECKING:
    from archlab.store import Store
    from archlab.training import Progress


@dataclass(frozen=True, slots=True)
class Plan:
    """One part of an experiment, ready to be trained."""

    part: Part
    design: Design
    chosen: Mapping[str, Value]
    """The settings that its trainings share."""

    @property
    def runs(self) -> int:
        """How many are trained, at most."""
        once = len(self.design.configs)
        return once * rounds(rate_grid(*self.part.rates)) if self.part.rates else once

    @property
    def command(self) -> str:
        """What to type to have its runs by themselves; empty where no single command compares them."""
        return _command(self.part, self.chosen, self.design.seeds)


def commands(experiment: Experiment) -> dict[str, str]:
    """Name of a part -> the command that trains the same; empty where different networks are compared.

    Nothing that the experiment names is imported or built.
    """
    return {
        part.name: _command(part, _shared(experiment, part, {}), seeds_of(part.seeds or experiment.seeds))
        for part in experiment.parts
    }


def planned(
    experiment: Experiment,
    *,
    seeds: int | Sequence[int] | None = None,
    chosen: Mapping[str, Value] | None = None,
    trust: bool = False,
) -> tuple[Plan, ...]:
    """The parts of an experiment as designs; every network of them can be built, every expectation be asked.

    Args:
        experiment: from `archlab.experiments.experiment`.
        seeds: how many, from 0, or which, in place of what the experiment says.
        chosen: settings of trainings in place of the experiment's: `{"dataset": "fashion-mnist"}`.
        trust: build networks of files and modules that the experiment names, which runs their code.

    Raises:
        UntrustedError: a network is neither archlab's, torchvision's nor timm's, and is not trusted.
        InputError: something of it can't be trained, or is expected of what it doesn't compare.
    """
    from archlab.networks.recorded import refuse_code

    for part in experiment.parts if not trust else ():
        given = [*part.options, *(name for name in part.vary if name not in varying(TrainingConfig))]
        for network, options in [(one.network, [*one.options]) for one in part.networks] or [(part.network, given)]:
            refuse_code(network, options, f"the experiment {experiment.name}")
    return tuple(_plan(experiment, part, seeds, dict(chosen or {})) for part in experiment.parts)


def run(
    experiment: Experiment,
    plans: Sequence[Plan],
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    *,
    command: str = "",
) -> ExperimentResult:
    """What came of an experiment, its comparisons kept in the store; runs that are there are not repeated.

    Args:
        experiment: which one.
        plans: its parts, from `planned`.
        execution: where and how.
        progress: called with every event of every run.
        command: what to type to have it again, for the report.

    Raises:
        InputError: the data set, the device or a setting can't be used.
        KeyboardInterrupt: it was stopped; what is finished is kept, and the same call goes on from there.
    """
    execution = replace(execution, store=execution.home)
    comparisons: list[Comparison] = []
    searches: list[RateSearch] = []
    found: list[Outcome] = []
    for plan in plans:
        part = plan.part
        if part.rates:
            searched = search(
                plan.design, execution, progress, grid=rate_grid(*part.rates), command=plan.command or command
            )
            searches.append(searched)
            found += outcomes(part, None, _rates(searched))
            continue
        is_metric = part.metric in CLAIMABLE
        comparison = conduct(
            plan.design,
            execution,
            progress,
            command=plan.command or command,
            metric=part.metric if is_metric else PRIMARY,
            margin=part.margin if is_metric else None,
        )
        comparisons.append(comparison)
        found += outcomes(
            part, comparison, None if is_metric else QUANTITY_VALUES[part.metric](comparison, execution.home)
        )
    return ExperimentResult(
        experiment=experiment,
        dataset=plans[0].design.variants[0].dataset,
        verdict=claim_verdict(found),
        outcomes=tuple(found),
        comparisons=tuple(comparisons),
        searches=tuple(searches),
        command=command,
    )


def _shared(experiment: Experiment, part: Part, chosen: Mapping[str, Value]) -> dict[str, Value]:
    """The settings that all trainings of a part have: the experiment's, the part's, the data set's, those chosen.

    Raises:
        InputError: what is chosen is varied.
    """
    varied = {item.field for name, item in varying(TrainingConfig).items() if name in part.vary}
    for name in varied.intersection(chosen):
        raise InputError(f"{name} is what part {part.name!r} of the experiment varies: leave it out")
    found = experiment.settings | part.settings
    dataset = str({**found, **chosen}.get("dataset", TrainingConfig().dataset))
    found |= {**experiment.datasets.get(dataset, {}), **part.datasets.get(dataset, {}), **chosen}
    return {name: value for name, value in found.items() if name not in varied}


def _command(part: Part, shared: Mapping[str, Value], seeds: Sequence[int]) -> str:
    if part.networks:
        return ""
    words = ["archlab", "compare", part.network]
    for name, value in part.options.items():
        words += ["--option", f"{name}={value}"]
    for name, values in part.vary.items():
        words += ["--vary", f"{name}={','.join(map(str, values))}"]
    for name, value in shared.items():
        words += [settings(TrainingConfig)[name].flag, str(value)]
    words += ["--seeds", seeds_text(seeds)]
    if part.rates:
        words += ["--max-lr", ",".join(f"{rate:g}" for rate in part.rates)]
    elif part.metric in CLAIMABLE and part.metric != PRIMARY:
        words += ["--metric", part.metric]
    if part.margin is not None and part.metric in CLAIMABLE:
        words += ["--margin", f"{part.margin * BY_NAME[part.metric].unit.scale:g}"]
    return shlex.join(words)


def _plan(experiment: Experiment, part: Part, seeds: int | Sequence[int] | None, chosen: dict[str, Value]) -> Plan:
    shared = _shared(experiment, part, chosen)
    wanted = seeds_of((part.seeds or experiment.seeds) if seeds is None else seeds)
    if part.networks:
        designed = Design(tuple(_variants(part, shared)), wanted)
    else:
        given: dict[str, Any] = {**shared, "options": part.options}
        designed = design(part.network, vary=part.vary, seeds=wanted, **given)
    probe = PROBE_OF.get(part.metric)
    if probe and probe not in designed.variants[0].probed:
        raise InputError(
            f"part {part.name!r} is about {part.metric}, which nobody looks at: set probe_every = 5 and "
            f'probes = "{probe}"'
        )
    deciding = [variant.deciding for variant in designed.variants]
    common = shared_items(deciding)
    stubs = [
        VariantResult(variant.label, {}, {name: value for name, value in values.items() if name not in common})
        for variant, values in zip(designed.variants, deciding, strict=True)
    ]
    return Plan(checked_expectations(part, stubs), designed, shared)


def _variants(part: Part, shared: Mapping[str, Value]) -> list[TrainingConfig]:
    """Of a part that compares different networks."""
    from archlab.networks import resolve

    found = []
    for one in part.networks:
        source = resolve(one.network, one.options)
        source.build("meta")
        config = configured(
            one.network, {**shared, "options": dict(source.options), "variant": one.name or one.network}
        )
        found.append(consistent(config))
    return found


def _rates(searched: RateSearch) -> dict[str, dict[int, float]]:
    return {
        variant.name: {
            seed: math.log10(rate) for seed, rate in zip(searched.seeds, variant.rates, strict=True) if rate is not None
        }
        for variant in searched.variants
    }


def _running_errors(comparison: Comparison, home: Store) -> dict[str, dict[int, float]]:
    """Of each run: its test accuracy with running statistics minus that with precise ones."""
    found = {}
    for variant in comparison.variants:
        if "test_accuracy_running" in variant.metrics:
            running, precise = (variant.metrics[name].values for name in ("test_accuracy_running", "test_accuracy"))
            sides = zip(variant.seeds, running, precise, strict=True)
            found[variant.name] = {seed: one - other for seed, one, other in sides}
    return found


def _smoothness(probes: Probes) -> Any:
    """log10 of the effective beta at each probed step."""
    import numpy as np

    from archlab.analysis.probing import effective_smoothness

    return () if probes.smoothness is None else np.log10(effective_smoothness(probes.smoothness))


def _branch_share(probes: Probes) -> Any:
    """log10 of branch over skip variance of each join at the first look, where that is before the first step."""
    import numpy as np

    branches = probes.branches
    if branches is None or branches.steps[0] != 0:
        return ()
    return np.log10(branches.quantities["branch_variance"][0]) - np.log10(branches.quantities["skip_variance"][0])


def _probed(take: Callable[[Probes], Any], comparison: Comparison, home: Store) -> dict[str, dict[int, float]]:
    """Of each run that ended well: the mean of what is taken of its probes, as far as that is finite."""
    import numpy as np

    usable = {variant.name: set(variant.seeds) for variant in comparison.variants}
    found: dict[str, dict[int, float]] = {name: {} for name in usable}
    for one in home.available(comparison.runs):
        label, seed = one.config.label, one.config.seed
        probes = home.probes(one.key)
        if probes is None or seed not in usable.get(label, ()):
            continue
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.asarray(take(probes), dtype=np.float64)
        known = values[np.isfinite(values)].tolist()
        if known:
            found[label][seed] = fmean(known)
    return found


QUANTITY_VALUES: Mapping[str, Callable[[Comparison, Store], dict[str, dict[int, float]]]] = {
    "running_error": _running_errors,
    "smoothness": partial(_probed, _smoothness),
    "branch_share": partial(_probed, _branch_share),
}
"""How the quantities that no comparison has are taken from its runs: variant -> seed -> value."""
PROBE_OF = {"smoothness": "smoothness", "branch_share": "signals"}
"""The probe that such a quantity is taken from."""
