"""Runs of several variants, condensed into a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from archlab.analysis.claims import PRIMARY, checked_margin, claimable, judged
from archlab.analysis.contrasts import Contrast, contrasts, interactions
from archlab.analysis.findings import findings
from archlab.analysis.metrics import METRICS, Metric
from archlab.analysis.statistics import estimate, paired_difference
from archlab.analysis.targets import is_censored, target_sentences
from archlab.analysis.variants import by_variant, shared_items
from archlab.errors import InputError
from archlab.records import Comparison, Difference, Run, Value, VariantResult


def summarise(
    runs: Sequence[Run], *, command: str = "", metric: str = PRIMARY, margin: float | None = None
) -> Comparison:
    """The comparison of the runs' variants, the first run's as the baseline, with findings in plain words.

    A run counts if it finished with numbers that are finite; the others are counted as diverged or failed and left out
    of estimates. A paired difference takes the seeds that both sides have.

    Args:
        runs: any order; variants and seeds are listed as they first appear.
        command: what to type to have it again.
        metric: the primary one, which claims are about: the name of one of `METRICS`.
        margin: differences in it up to this count as equal, in its own unit (shares: 0.01 is one percentage point);
            by default 0.01 of accuracies, 0.02 nats of losses.

    Raises:
        InputError: there is no run; a variant has two runs of one seed, or runs that differ in more than the seed; the
            runs were trained on different data sets; nothing can be claimed of the metric, or the margin isn't above 0.
    """
    primary = claimable(metric)
    margin = primary.unit.margin if margin is None else checked_margin(margin)
    if not runs:
        raise InputError("there is no run to compare: expected one or more for each variant")
    if len(datasets := {run.config.dataset for run in runs}) > 1:
        raise InputError(f"the runs were trained on {', '.join(sorted(datasets))}: only runs on the same data compare")
    variants = _by_variant(runs)
    seeds = tuple(dict.fromkeys(run.config.seed for run in runs))
    settings = {name: next(iter(group.values())).deciding for name, group in variants.items()}
    shared = shared_items(list(settings.values()))
    results = tuple(
        _condense(name, group, seeds, {key: value for key, value in settings[name].items() if key not in shared})
        for name, group in variants.items()
    )
    differences, interacting = judged(_differences(results), _interactions(results, primary), primary.name, margin)
    comparison = Comparison(
        network=", ".join(dict.fromkeys(run.config.network for run in runs)),
        dataset=runs[0].config.dataset,
        seeds=seeds,
        variants=results,
        differences=differences,
        interactions=interacting,
        metric=primary.name,
        margin=margin,
        runs=tuple(group[seed].key for group in variants.values() for seed in seeds if seed in group),
        settings={name: value for name, value in shared.items() if name not in ("network", "dataset")},
        environment=shared_items([run.environment for run in runs]),
        command=command,
        created=datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
    )
    return replace(comparison, findings=(*findings(comparison), *target_sentences(comparison)))


def _by_variant(runs: Sequence[Run]) -> dict[str, dict[int, Run]]:
    """Variant -> seed -> run."""
    variants: dict[str, dict[int, Run]] = {}
    for name, members in by_variant(runs, lambda run: run.config).items():
        first, group = members[0], variants.setdefault(name, {})
        for run in members:
            seed = run.config.seed
            if seed in group:
                raise InputError(
                    f"{name} has two runs of seed {seed} ({group[seed].key}, {run.key}): leave one of them out"
                )
            group[seed] = run
            if run.deciding != first.deciding:
                raise InputError(
                    f"the runs {first.key} and {run.key} are both called {name!r}, but differ in more than the seed: "
                    "runs of one variant must share their settings"
                )
    return variants


def _condense(name: str, group: Mapping[int, Run], seeds: Sequence[int], options: dict[str, Value]) -> VariantResult:
    usable = {seed: group[seed] for seed in seeds if seed in group and _is_usable(group[seed])}
    left_out = [run for seed, run in group.items() if seed not in usable]
    diverged = sum(run.status == "diverged" or (run.status == "finished" and bool(run.epochs)) for run in left_out)
    metrics = {}
    for metric in METRICS:
        values = [metric.of(run) for run in usable.values()]
        known = [value for value in values if value is not None]
        if known and len(known) == len(values):
            found = estimate(known)
            metrics[metric.name] = metric.unit.limited(found)
    return VariantResult(
        name=name,
        metrics=metrics,
        options=options,
        failed=len(group) - len(usable) - diverged,
        diverged=diverged,
        censored=sum(is_censored(run) for run in usable.values()),
        seeds=tuple(usable),
        parameters=next((run.parameters for run in group.values() if run.parameters), 0),
    )


def _is_usable(run: Run) -> bool:
    if run.status != "finished" or not run.epochs:
        return False
    values = (metric.of(run) for metric in METRICS)
    return all(value is None or math.isfinite(value) for value in values)


def _differences(variants: Sequence[VariantResult]) -> list[Difference]:
    """Each contrast, for each metric that both sides have, over the seeds that both have."""
    pairs = contrasts(variants)
    found = [_difference(contrast, metric) for metric in METRICS for contrast in pairs]
    return [difference for difference in found if difference is not None]


def _difference(contrast: Contrast, metric: Metric) -> Difference | None:
    sides = _paired((contrast.baseline, contrast.variant), metric)
    if not sides:
        return None
    return replace(
        metric.unit.limited(paired_difference(*sides)),
        metric=metric.name,
        baseline=contrast.baseline.name,
        variant=contrast.variant.name,
        factor=contrast.factor,
    )


def _interactions(variants: Sequence[VariantResult], metric: Metric) -> list[Difference]:
    found = []
    for interaction in interactions(variants):
        sides = _paired(interaction.corners, metric)
        if sides:
            first, second = paired_difference(*sides[:2]).values, paired_difference(*sides[2:]).values
            baseline, variant = interaction.names
            found.append(
                replace(
                    paired_difference(first, second),
                    metric=metric.name,
                    baseline=baseline,
                    variant=variant,
                    factor=f"{interaction.factor} x {interaction.other}",
                )
            )
    return found


def _paired(sides: Sequence[VariantResult], metric: Metric) -> list[list[float]]:
    """The values of several variants over the seeds that all of them have; none where one lacks the metric."""
    if any(metric.name not in side.metrics for side in sides):
        return []
    seeds = [seed for seed in sides[0].seeds if all(seed in side.seeds for side in sides)]
    if not seeds:
        return []
    return [[side.metrics[metric.name].values[side.seeds.index(seed)] for seed in seeds] for side in sides]
