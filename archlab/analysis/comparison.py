"""Runs of several variants, condensed into a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from archlab.analysis.findings import findings
from archlab.analysis.metrics import METRICS
from archlab.analysis.statistics import estimate, paired_difference
from archlab.analysis.targets import is_censored, target_sentences
from archlab.analysis.variants import by_variant, shared_items
from archlab.errors import InputError
from archlab.records import Comparison, Difference, Run, Value, VariantResult


def summarise(runs: Sequence[Run], *, command: str = "") -> Comparison:
    """The comparison of the runs' variants, the first run's as the baseline, with findings in plain words.

    A run counts if it finished with numbers that are finite; the others are counted as diverged or failed and left out
    of estimates. A paired difference takes the seeds that both sides have.

    Args:
        runs: any order; variants and seeds are listed as they first appear.
        command: what to type to have it again.

    Raises:
        InputError: there is no run; a variant has two runs of one seed, or runs that differ in more than the seed; the
            runs were trained on different data sets.
    """
    if not runs:
        raise InputError("there is no run to compare: expected one or more for each variant")
    if len(datasets := {run.config.dataset for run in runs}) > 1:
        raise InputError(f"the runs were trained on {', '.join(sorted(datasets))}: only runs on the same data compare")
    variants = _by_variant(runs)
    seeds = tuple(dict.fromkeys(run.config.seed for run in runs))
    settings = {name: next(iter(group.values())).config.deciding for name, group in variants.items()}
    shared = shared_items(list(settings.values()))
    results = tuple(
        _condense(name, group, seeds, {key: value for key, value in settings[name].items() if key not in shared})
        for name, group in variants.items()
    )
    comparison = Comparison(
        network=", ".join(dict.fromkeys(run.config.network for run in runs)),
        dataset=runs[0].config.dataset,
        seeds=seeds,
        variants=results,
        differences=_differences(results),
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
            if run.config.deciding != first.config.deciding:
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


def _differences(variants: Sequence[VariantResult]) -> tuple[Difference, ...]:
    """Every variant against the first, for each metric that both have, over the seeds that both have."""
    baseline, *others = variants
    differences = []
    for metric in METRICS:
        for variant in others:
            seeds = [seed for seed in baseline.seeds if seed in variant.seeds]
            if not seeds or metric.name not in baseline.metrics or metric.name not in variant.metrics:
                continue
            difference = paired_difference(
                *(
                    [side.metrics[metric.name].values[side.seeds.index(seed)] for seed in seeds]
                    for side in (baseline, variant)
                )
            )
            difference = metric.unit.limited(difference)
            differences.append(replace(difference, metric=metric.name, baseline=baseline.name, variant=variant.name))
    return tuple(differences)
