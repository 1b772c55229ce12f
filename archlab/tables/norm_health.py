"""A trained network's BatchNorm as tables: its answers, layers and worst channels, what was loaded and written."""

from __future__ import annotations

from archlab.analysis.health import LayerState, layer_states, worst_channels, worst_layers
from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.analysis.verdicts.channels import NEGLIGIBLE_WEIGHT
from archlab.analysis.verdicts.norms import MEAN_SHIFT, OFF_SHARE, VARIANCE_FACTOR
from archlab.analysis.wording import counted, shape_text
from archlab.records.norm_health import LoadedWeights, NormHealth, Outcome, WrittenWeights
from archlab.tables.columns import count_column
from archlab.tables.table import Cell, Column, Emphasis, Row, Table

WORST_LAYERS, WORST_CHANNELS = 8, 5
"""That are shown where not all are."""
NAMES = 8
"""Names of tensors of a kind that are shown where not all are."""
LAYER_NOTES = (
    f"off: channels {MEAN_SHIFT:g} standard deviations or a factor of {VARIANCE_FACTOR:g} in variance from precise.",
    f"dead: |gamma| and |beta| below {NEGLIGIBLE_WEIGHT:g}. always 0: on every image behind the activation.",
    "noise: of batch means, in standard deviations. scale: largest over smallest gamma / sqrt(variance + eps).",
)
TITLES = {"running": EVALUATION, "precise": PRECISE, "batch": "batch statistics"}


def health_tables(health: NormHealth, full: bool = False) -> tuple[Table, ...]:
    """The answers, the worst layers (or all, in the network's order), the worst channels, and what a file holds."""
    tables = [answers_table(health)] if health.outcomes else []
    tables.append(layers_table(health, full))
    if any(layer.mean for layer in health.layers):
        tables.append(channels_table(health, None if full else WORST_CHANNELS))
    if health.weights is not None and _differs(health.weights):
        tables.append(loading_table(health.weights, full))
    if health.written:
        tables.append(written_table(health.written))
    return tuple(tables)


def answers_table(health: NormHealth) -> Table:
    """One row per kind of statistics: accuracy, loss, drift of the outputs, answers that stay."""
    data = health.data
    footer = []
    if data is not None and data.is_split and not health.run:
        footer.append(
            f"{counted(data.tested_images, 'image')} of {data.name}; precise statistics over "
            f"{data.statistics_images:,} others. Batches of {data.batch_size}."
        )
        footer += data.fitting
    if any(one.drift is not None for one in health.outcomes):
        footer.append("drift: distance of the outputs from those with precise statistics, over the deviation of these.")
        footer.append("same answer: share of images with the same most probable class as with precise statistics.")
    return Table(
        columns=(
            Column("statistics", "normalised by"),
            Column("accuracy", "accuracy", "right", ".2%"),
            Column("loss", "loss", "right", ".4f"),
            Column("drift", "drift", "right", ".3f", optional=True),
            Column("agreement", "same answer", "right", ".1%", optional=True),
        ),
        rows=tuple(Row(_answer(one, data.batch_size if data else 0)) for one in health.outcomes),
        title=f"Answers of {health.network}",
        footer=tuple(footer),
    )


def _answer(one: Outcome, batch_size: int) -> tuple[Cell, ...]:
    title = TITLES[one.statistics] + (f", {batch_size} images" if one.statistics == "batch" and batch_size else "")
    return (title, one.accuracy, one.loss, one.drift, one.agreement)


def layers_table(health: NormHealth, full: bool) -> Table:
    """One row per layer: all in the network's order, or the worst first."""
    states = layer_states(health) if full else worst_layers(health, WORST_LAYERS)
    left = len(health.layers) - len(states)
    which = (
        "BatchNorm layers" if full or not left else f"The {len(states)} worst of {len(health.layers)} BatchNorm layers"
    )
    return Table(
        columns=(
            Column("layer", "layer", shrinks=True),
            count_column("channels", "channels"),
            count_column("not_finite", "not finite"),
            count_column("off", "off"),
            Column("mean_shift", "mean off by", "right", ".2f"),
            Column("variance_factor", "variance x", "right", ".3g"),
            count_column("dead", "dead"),
            count_column("always_off", "always 0"),
            count_column("collapsed", "collapsed"),
            Column("batch_noise", "noise", "right", ".2f", optional=True),
            Column("least_variance", "least variance", "right", ".2g", optional=True),
            Column("scale_range", "scale", "right", ".3g", optional=True),
        ),
        rows=tuple(Row(_layer(state), emphasis=_emphasis(state)) for state in states),
        title=f"{which} of {health.network}",
        footer=LAYER_NOTES if any(state.off is not None for state in states) else LAYER_NOTES[1:],
    )


def _layer(state: LayerState) -> tuple[Cell, ...]:
    return (
        state.layer.path,
        state.layer.channels,
        state.not_finite,
        state.off,
        state.shift,
        state.factor,
        state.dead,
        state.always_off,
        state.collapsed,
        state.noise,
        state.least_variance,
        state.scale_range,
    )


def _emphasis(state: LayerState) -> Emphasis:
    share = state.rank[0]
    return "bad" if state.not_finite or share >= 0.5 else "changed" if share >= OFF_SHARE else ""


def channels_table(health: NormHealth, count: int | None) -> Table:
    """The channels whose running statistics are the furthest off; all of them for None."""
    whole = sum(layer.channels for layer in health.layers if layer.mean)
    found = worst_channels(health, whole if count is None else count)
    return Table(
        columns=(
            Column("layer", "layer", shrinks=True),
            Column("channel", "channel", "right", "d"),
            Column("distance", "off by", "right", ".3g"),
            Column("running_mean", "running mean", "right", ".4g"),
            Column("precise_mean", "precise mean", "right", ".4g"),
            Column("running_var", "running variance", "right", ".4g"),
            Column("precise_var", "precise variance", "right", ".4g"),
            Column("gamma", "gamma", "right", ".3g", optional=True),
            Column("beta", "beta", "right", ".3g", optional=True),
        ),
        rows=tuple(
            Row(
                (
                    one.layer,
                    one.channel,
                    one.distance,
                    one.running_mean,
                    one.mean,
                    one.running_var,
                    one.variance,
                    one.gamma,
                    one.beta,
                )
            )
            for one in found
        ),
        title="All channels, the worst first" if count is None else f"The {len(found)} worst of {whole:,} channels",
        footer=("off by: 1 is where a channel counts as off; empty where a statistic is not finite.",),
    )


def _differs(weights: LoadedWeights) -> bool:
    return bool(weights.missing or weights.unexpected or weights.wrong)


def loading_table(weights: LoadedWeights, full: bool = False) -> Table:
    """What of the file and of the network does not go together."""
    kinds = {
        "missing": [(name, "", "") for name in weights.missing],
        "unexpected": [(name, "", "") for name in weights.unexpected],
        "wrong shape": [(one.name, shape_text(one.stored), shape_text(one.expected)) for one in weights.wrong],
    }
    rows: list[Row] = []
    for kind, found in kinds.items():
        shown = found if full else found[:NAMES]
        rows += [
            Row((name, kind, stored, expected), emphasis="" if kind == "unexpected" else "changed")
            for name, stored, expected in shown
        ]
        if len(shown) < len(found):
            rows.append(Row((f"and {len(found) - len(shown)} more", kind, "", ""), emphasis="dim"))
    return Table(
        columns=(
            Column("name", "tensor", shrinks=True),
            Column("problem", "is"),
            Column("stored", "in the file"),
            Column("expected", "in the network"),
        ),
        rows=tuple(rows),
        title=f"Tensors of {weights.path} that do not fit",
        footer=(f"{counted(weights.loaded, 'tensor')} went in.",),
    )


def written_table(written: tuple[WrittenWeights, ...]) -> Table:
    """The checkpoints that were written, and what they answer when they are read again."""
    first = written[0]
    return Table(
        columns=(
            Column("file", "file", shrinks=True),
            Column("kind", "is"),
            count_column("layers", "layers"),
            Column("accuracy_before", "accuracy before", "right", ".2%"),
            Column("accuracy_after", "after", "right", ".2%"),
            Column("difference", "largest difference of an output", "right", ".3g"),
            Column("agreement", "same answer", "right", ".1%"),
        ),
        rows=tuple(
            Row(
                (one.path, one.kind, one.layers, one.accuracy_before, one.accuracy_after, one.difference, one.agreement)
            )
            for one in written
        ),
        title="Written, and read again",
        footer=(
            f"{counted(first.images, 'image')}, in {EVALUATION}.",
            f"The SHA-256 of the original, taken afterwards, is {first.original_sha256[:16]}….",
        ),
    )


def loaded_sentence(weights: LoadedWeights) -> str:
    """What was loaded, and what was done for it.

    >>> loaded_sentence(LoadedWeights("net.pt", "0", "model", ("module.",), 122))
    "122 tensors of net.pt, found at 'model', 'module.' taken off their names."
    """
    parts = [f"{counted(weights.loaded, 'tensor')} of {weights.path}"]
    if weights.key:
        parts.append(f"found at {weights.key!r}")
    if weights.prefixes:
        parts.append(f"{' and '.join(map(repr, weights.prefixes))} taken off their names")
    text = ", ".join(parts) + "."
    if weights.others:
        text += f" {', '.join(map(repr, weights.others))} would go in too (--key)."
    return text
