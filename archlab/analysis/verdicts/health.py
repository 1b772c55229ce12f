"""Verdicts on a trained network's BatchNorm, from its record: what the weights alone show, and what images show.

The checks of trainings are asked where they can be (`channels`, and the measure of how far running statistics are off);
what a checkpoint has beside a training is here and in `archlab.analysis.verdicts.answers`.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from archlab.analysis.verdicts import answers
from archlab.analysis.verdicts.channels import (
    IOFFE_SZEGEDY_2015,
    LIU_2017,
    NEGLIGIBLE_WEIGHT,
    NOTE_SHARE,
    WARNING_SHARE,
    channels,
)
from archlab.analysis.verdicts.norms import (
    PROBLEM_VALUES,
    WARNING_VALUES,
    WU_HE_2018,
)
from archlab.analysis.verdicts.trained import group_of
from archlab.analysis.verdicts.uses import verdicts_on
from archlab.analysis.wording import counted
from archlab.records import Verdict
from archlab.records.norm_health import NormHealth, NormLayerHealth
from archlab.records.verdict import LEVELS, Level

NEAR_EPSILON = 10
"""Times eps that a variance is near it below: there eps takes 5 % and more off the scale, 1 - 1 / sqrt(1.1)."""
LEVELS_OF_8_BITS = 127
"""Steps of an 8-bit weight to each side: what is smaller than the largest by more than so many is rounded to 0."""
NAGEL_2019 = "Nagel et al., Data-Free Quantization Through Weight Equalization and Bias Correction, 2019, section 3.1"
COUNTER = "num_batches_tracked"


def judged(health: NormHealth) -> tuple[Verdict, ...]:
    """The verdicts on a trained network, the worst first; within a level in the order of `CHECKS`.

    >>> layer = NormLayerHealth("norm", "BatchNorm2d", 1e-5, 0.1, (1.0,), (0.0,), (0.0,), (1.0,), batches=0)
    >>> [(verdict.check, verdict.level) for verdict in judged(NormHealth("net", (layer,)))][0]
    ('never-updated', 'problem')
    """
    found = [verdict for check in CHECKS for verdict in check(health)]
    return tuple(sorted(found, key=lambda verdict: LEVELS.index(verdict.level)))


def loading(health: NormHealth) -> list[Verdict]:
    """Whether all of the network was in the file.

    *Counting semantics.* Names of the network that the file lacks or has in another shape, BatchNorm's counters left
    out, since they decide nothing.
    """
    weights = health.weights
    if weights is None:
        return []
    bare = [layer.path for layer in health.layers if not layer.loaded]
    missing = [name for name in weights.missing if not name.endswith(COUNTER)]
    verdicts = []
    if bare:
        verdicts.append(
            Verdict(
                "weights-without-statistics",
                "problem",
                f"The file lacks the running statistics of {len(bare)} of "
                f"{counted(len(health.layers), 'BatchNorm layer')}: "
                "they are the initial ones, mean 0 and variance 1.",
                layer=bare[0],
                remedy="Save the whole state_dict, buffers and all (torch.save(model.state_dict(), FILE)); or take "
                "precise statistics instead (--recalibrate OUT).",
                source=IOFFE_SZEGEDY_2015,
            )
        )
    other = [name for name in missing if not name.endswith(("running_mean", "running_var"))]
    lost = len(other) + len(weights.wrong)
    if lost:
        shapes = [f"{one.name} is {one.stored}, expected {one.expected}" for one in weights.wrong[:2]]
        examples = [*shapes, *(f"{name} is missing" for name in other[: 2 - len(shapes)])]
        verdicts.append(
            Verdict(
                "weights-not-loaded",
                "problem",
                f"{counted(lost, 'tensor')} of the network {'is' if lost == 1 else 'are'} not in the file as "
                f"{'it is' if lost == 1 else 'they are'} needed ({'; '.join(examples)}), and "
                f"{'is' if lost == 1 else 'are'} random. The answers are not those of the trained network.",
                remedy="Name the network that was trained, with its options (--option num_classes=10).",
            )
        )
    return verdicts


def not_finite(health: NormHealth) -> list[Verdict]:
    """Whether anything that a layer holds is infinite or NaN.

    *Counting semantics.* Channels whose running mean, running variance, gamma or beta is not finite.
    """
    bad = {
        layer.path: sum(
            any(value is None for value in values)
            for values in zip(
                *filter(None, (layer.running_mean, layer.running_var, layer.gamma, layer.beta)), strict=True
            )
        )
        for layer in health.layers
    }
    worst = max(bad, key=lambda path: bad[path])
    if not bad[worst]:
        return []
    layer = next(layer for layer in health.layers if layer.path == worst)
    count = sum(map(bool, bad.values()))
    return [
        Verdict(
            "statistics-not-finite",
            "problem",
            f"{bad[worst]:,} of {counted(layer.channels, 'channel')} hold an infinity or NaN, in running statistics, "
            "gamma "
            f"or beta; so {'does' if count == 1 else 'do'} {count} of {counted(len(bad), 'BatchNorm layer')}. An "
            "average "
            "keeps an infinity for ever, whatever the training loss was.",
            layer=worst,
            remedy="Look at what the layer was given: an overflow, a division by 0, a broken image. Then take the "
            "statistics anew (--recalibrate OUT).",
            source=IOFFE_SZEGEDY_2015,
        )
    ]


def never_updated(health: NormHealth) -> list[Verdict]:
    """Whether running statistics are the initial ones: means of exactly 0, variances of exactly 1."""
    tracking = [layer for layer in health.layers if layer.running_mean and layer.loaded]
    initial = [layer for layer in tracking if answers.is_initial(layer)]
    if not initial:
        return []
    first = initial[0]
    counts = sorted({layer.batches for layer in initial if layer.batches is not None})
    counter = ""
    if counts:
        counter = f" Their counters say {counts[0]:,} batches." if counts == counts[:1] else (
            f" Their counters say {counts[0]:,} to {counts[-1]:,} batches."
        )  # fmt: skip
    still = any(counts) or first.momentum == 0
    return [
        Verdict(
            "never-updated",
            "problem",
            f"The running statistics of {len(initial)} of {counted(len(tracking), 'BatchNorm layer')} are the "
            "initial ones, mean "
            f"0 and variance 1, to the last digit: evaluation does not normalise.{counter}",
            layer=first.path,
            remedy=(
                "Momentum is 0, or they were reset after training: set a momentum above 0, and take precise statistics "
                if still
                else "The layers never saw a batch in training mode (model.train()), or these weights are not trained. "
                "Take precise statistics "
            )
            + "(--recalibrate OUT).",
            source=IOFFE_SZEGEDY_2015,
        )
    ]


def near_epsilon(health: NormHealth) -> list[Verdict]:
    """Whether eps decides the scale of channels, by the running variances that evaluation divides by.

    *Counting semantics.* Channels whose running variance is below `NEAR_EPSILON` times the layer's eps, in the layer
    with the largest share of them.
    """
    found = [
        (sum(value is not None and value < NEAR_EPSILON * layer.epsilon for value in layer.running_var), layer)
        for layer in health.layers
        if layer.running_var
    ]
    if not found:
        return []
    count, layer = max(found, key=lambda item: item[0] / item[1].channels)
    share = count / layer.channels
    if share < NOTE_SHARE:
        return []
    touched = sum(number / one.channels >= NOTE_SHARE for number, one in found)
    least = min(value for value in layer.running_var if value is not None)
    return [
        Verdict(
            "variance-near-eps",
            "warning" if share >= WARNING_SHARE else "note",
            f"In the worst layer {count:,} of {counted(layer.channels, 'channel')} have a running variance below "
            f"{NEAR_EPSILON} eps ({layer.epsilon:g}), the least {least:.3g}: there eps takes 5 % and more off the "
            "scale. "
            f"{100 * NOTE_SHARE:.0f} % or more are so in {touched} of {counted(len(found), 'BatchNorm layer')}.",
            layer=layer.path,
            remedy="Another framework's eps (TensorFlow has 1e-3) would give other answers: keep it with the "
            "weights. In "
            "half precision such variances are rounded to 0.",
            source=IOFFE_SZEGEDY_2015,
        )
    ]


def always_off(health: NormHealth) -> list[Verdict]:
    """Which channels are 0 on every image behind the activation that follows.

    *Counting semantics.* All values of the channel behind a ReLU, ReLU6, Hardtanh or Hardswish that takes the layer's
    output itself, over the tested images in evaluation. Off by gamma: |gamma| and |beta| are below
    `NEGLIGIBLE_WEIGHT`. By beta: it lies three |gamma| or more below 0. Otherwise by the activation: the running
    statistics, or the few values above 0, decide.
    """
    looked = [layer for layer in health.layers if layer.zeros]
    if not looked:
        return []
    off = {layer.path: [place for place, share in enumerate(layer.zeros) if share == 1] for layer in looked}
    layer = max(looked, key=lambda one: len(off[one.path]) / one.channels)
    share = len(off[layer.path]) / layer.channels
    images = health.data.tested_images if health.data else 0
    whole = f"{counted(len(looked), 'layer')} with such a function behind, {counted(images, 'image')}"
    if share < NOTE_SHARE:
        return [
            Verdict(
                "always-off",
                "good",
                f"No BatchNorm layer has more than {100 * NOTE_SHARE:.0f} % of channels that are 0 on every image "
                "behind "
                f"the activation ({whole}).",
            )
        ]
    kinds = [_why_off(layer, place) for place in off[layer.path]]
    reasons = ", ".join(f"{kinds.count(kind):,} by {kind}" for kind in dict.fromkeys(kinds))
    touched = sum(len(off[one.path]) / one.channels >= NOTE_SHARE for one in looked)
    level: Level = "problem" if share >= 0.9 else "warning" if share >= WARNING_SHARE else "note"
    return [
        Verdict(
            "always-off",
            level,
            f"In the worst layer {len(off[layer.path]):,} of {counted(layer.channels, 'channel')} are 0 on every image "
            f"behind {layer.activation} ({reasons}). {100 * NOTE_SHARE:.0f} % or more are so in {touched} of {whole}.",
            layer=layer.path,
            remedy="They can be cut out without a change. In a new training: a lower learning rate or a warm-up, "
            "no weight "
            "decay on gamma and beta.",
            source=LIU_2017,
        )
    ]


def _why_off(layer: NormLayerHealth, place: int) -> str:
    gamma, beta = layer.gamma[place], layer.beta[place]
    if gamma is None or beta is None:
        return "the activation"
    if abs(gamma) < NEGLIGIBLE_WEIGHT and abs(beta) < NEGLIGIBLE_WEIGHT:
        return "gamma"
    return "beta" if beta <= -3 * abs(gamma) else "the activation"


def batch_noise(health: NormHealth) -> list[Verdict]:
    """Whether batches of the training's size are large enough, as `norms.batch_noise` of a training.

    *Counting semantics.* The deviation of batch means in standard deviations (precise statistics), median over the
    channels that have not collapsed; measured in batches of the examination and scaled to the training's size by the
    root of it, as for independent images.
    """
    noises = {layer.path: _noise(layer) for layer in health.layers}
    known = {path: noise for path, noise in noises.items() if noise is not None}
    if not known or health.data is None:
        return []
    worst = max(known, key=lambda path: known[path][0])
    noise, variances, count = known[worst]
    values = max(1, round(noise**-2)) if noise else "endless"
    assumed = "" if health.data.batch_size_given else ", as nobody says which size the training had"
    text = (
        f"In the noisiest of {counted(len(known), 'BatchNorm layer')}, means of batches of {health.data.batch_size} "
        "images "
        f"scatter by {noise:.2f} standard deviations, as if a batch had {values} independent values per channel, and "
        f"variances by {100 * variances:.0f} % (medians of {counted(count, 'channel')}{assumed})."
    )
    level: Level = "good"
    if noise >= WARNING_VALUES**-0.5:
        level = "problem" if noise >= PROBLEM_VALUES**-0.5 else "warning"
    if level != "good" and not health.data.batch_size_given:
        level = "note"
    remedy = "" if level == "good" else (
        "Train with larger batches, with SyncBatchNorm over several devices, or with a normalisation that does not "
        "depend "
        "on the batch (GroupNorm)."
    )  # fmt: skip
    return [
        Verdict("batch-noise", level, text, layer=worst, remedy=remedy, source="" if level == "good" else WU_HE_2018)
    ]


def _noise(layer: NormLayerHealth) -> tuple[float, float, int] | None:
    """Median noise of mean and variance, and the channels that it is of; None where half have collapsed."""
    pairs = [
        (mean, variance)
        for mean, variance, precise in zip(layer.mean_noise, layer.variance_noise, layer.variance, strict=False)
        if mean is not None and variance is not None and precise is not None and precise > layer.epsilon
    ]
    if not pairs or len(pairs) <= layer.channels / 2:
        return None
    return median(mean for mean, _ in pairs), median(variance for _, variance in pairs), len(pairs)


def scale_range(health: NormHealth) -> list[Verdict]:
    """Whether channels differ so much in gamma / sqrt(variance + eps) that 8-bit weights lose some.

    *Counting semantics.* The largest over the smallest size of the scale, over a layer's channels with |gamma| of
    `NEGLIGIBLE_WEIGHT` or more: folding multiplies each filter by it.
    """
    ranges = {layer.path: found for layer in health.layers if (found := scale_spread(layer)) is not None}
    if not ranges:
        return []
    worst = max(ranges, key=lambda path: ranges[path])
    if ranges[worst] < LEVELS_OF_8_BITS:
        return []
    wide = sum(found >= LEVELS_OF_8_BITS for found in ranges.values())
    return [
        Verdict(
            "scale-range",
            "note",
            f"Folded into the convolution before, the worst layer scales its filters by factors that differ up to "
            f"{ranges[worst]:,.0f} times; {LEVELS_OF_8_BITS} times or more in {wide} of "
            f"{counted(len(ranges), 'BatchNorm layer')}. With one step size for the whole tensor, 8-bit weights "
            "round the "
            "smallest filters to 0.",
            layer=worst,
            remedy="Quantise weights per channel, or equalise channels across layers first.",
            source=NAGEL_2019,
        )
    ]


def scale_spread(layer: NormLayerHealth) -> float | None:
    """The largest over the smallest scale of a layer's channels that are not dead; None where there is none."""
    sizes = [
        abs(scale)
        for scale, gamma in zip(layer.scale, layer.gamma, strict=False)
        if scale and gamma is not None and abs(gamma) >= NEGLIGIBLE_WEIGHT
    ]
    return max(sizes) / min(sizes) if sizes else None


def folding(health: NormHealth) -> list[Verdict]:
    """Whether the answers stay when BatchNorm is folded into convolutions."""
    check = health.folding
    if check is None or check.difference is None or check.largest is None or not check.folded:
        return []
    share = check.difference / check.largest if check.largest else 0.0
    text = (
        f"Folding {len(check.folded)} of {counted(len(check.folded) + len(check.left), 'BatchNorm layer')} changes "
        "no output "
        f"by more than {check.difference:.2g} (the largest is {check.largest:.3g})"
    )
    stays = check.agreement is None or check.agreement == 1
    share_kept = "all" if stays else f"{100 * (check.agreement or 0):.2f} % of"
    text += f", and the answer to {share_kept} {counted(check.images, 'image')} stays."
    if share < 1e-3 and stays:
        return [Verdict("folding", "good", text)]
    return [
        Verdict(
            "folding",
            "warning" if not stays else "note",
            text,
            remedy="Channels with variances near eps, or scales far apart, lose digits in float32: fold in float64.",
            source="Jacob et al., Quantization and Training of Neural Networks, 2018, section 3.2",
        )
    ]


def usage(health: NormHealth) -> list[Verdict]:
    """How the layers were used in the evaluation: modes and settings, as outputs and counters show."""
    return [verdict for verdict in verdicts_on(health.uses) if verdict.level != "good"]


def channel_checks(health: NormHealth) -> list[Verdict]:
    """The checks of channels that trainings have."""
    return channels(group_of(health))


CHECKS: tuple[Callable[[NormHealth], list[Verdict]], ...] = (
    loading,
    not_finite,
    never_updated,
    usage,
    answers.running_statistics,
    answers.initial_values,
    answers.batch_dependence,
    batch_noise,
    always_off,
    channel_checks,
    near_epsilon,
    folding,
    scale_range,
)
