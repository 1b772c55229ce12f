"""Checks of a variant's layers, from the last look at their signals: silent units, gradients by depth, updates.

Every training has such a look at its end, at some training images; one that stopped because its loss was no number has
it at its first weights. The limits are set between what healthy networks had and what planted faults had, both trained
on Fashion-MNIST (2,000 images, 3 epochs, Adam at 0.001 unless said otherwise); `docs/checks.md` has the table. What is
found is a problem where the network did not learn, else a warning: it learnt in spite of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from archlab.analysis.chance import has_learnt
from archlab.analysis.verdicts.group import Array, Group
from archlab.analysis.wording import counted, range_text
from archlab.records import LayerSeries, Run, Verdict
from archlab.records.verdict import Level

DEAD_SHARE = 0.5
"""Of a layer's ReLUs, silent for all images that were looked at. Healthy networks have up to 0.34 in their worst layer
(LeNet without normalisation), those whose rate was too high or whose biases were below 0 have 0.88 to 1."""
SATURATED_SHARE = 0.75
"""Of what a bounded activation gives. Healthy networks have up to 0.55 in their worst layer (LeNet of sigmoids without
normalisation, after 10 epochs; with BatchNorm 0.17), those whose weights started or grew too large 0.77 to 1."""
VANISHING, EXPLODING = 1e-4, 100.0
"""Norm of the gradient that comes back to the first layer with weights, over that at the last. Networks that learn have
0.3 to 6; LeNet of sigmoids without BatchNorm has 7e-4 while it is on the plateau that it leaves by itself. Eight layers
of sigmoids without it have 4e-5, twenty ReLU layers of torch's first weights 1e-8; twenty of twice He's weights 4e4."""
FEWEST_LAYERS = 3
"""Layers with weights, below which there is no depth to speak of."""
SLOW_UPDATES, FAST_UPDATES = 1e-5, 0.05
"""Of the weights' norm, in the last step, the median over layers. Goodfellow et al. name 0.01 as usual, 0.5 and 1e-5 as
wrong. Healthy networks have 6e-4 to 0.02 here, the latter with SGD of 0.1 and momentum. What is above soon has weights
so large that it isn't any more, unless a weight decay of 9 at a rate of 0.1, say, keeps them small: that has 0.2."""
LEARNING_LOSS_SHARE = 0.5
"""Of the loss of guessing: who is below has learnt enough that small steps are right."""

MAAS_2013 = "Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013, section 2"
GLOROT_2010 = (
    "Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010, section 3"
)
HE_2015 = "He et al., Delving Deep into Rectifiers, 2015, section 2.2"
PASCANU_2013 = "Pascanu, Mikolov and Bengio, On the Difficulty of Training Recurrent Neural Networks, 2013, section 2"
GOODFELLOW_2016 = "Goodfellow, Bengio and Courville, Deep Learning, 2016, section 11.5"
AUTOGRAD = "PyTorch, Autograd mechanics, section Locally disabling gradient computation"


class _Found(NamedTuple):
    """What one run has."""

    run: Run
    layer: str
    value: float
    layers: int
    """In which it is so."""
    looked_at: int


def dead_units(group: Group) -> list[Verdict]:
    """Whether the ReLUs of some layer are silent.

    *Counting semantics.* A unit, a channel or a feature, is dead if it gives exactly 0 for every image of the last look
    and at every place: no gradient goes through it. A layer counts from `DEAD_SHARE` of its units on; that with the
    largest share is named.
    """
    seen, found = _worst(group, "activation_dead", DEAD_SHARE)
    if not seen:
        return []
    images = _images(group)
    if not found:
        highest = range_text([100 * one.value for one in seen], ".0f")
        text = (
            f"In the worst of {counted(seen[0].looked_at, 'ReLU')}, {highest} % of the units gave 0 for all of "
            f"{images} ({counted(len(seen), 'run')})."
        )
        return [Verdict("dead-units", "good", text, group.variant)]
    shares = range_text([100 * one.value for one in found], ".0f")
    text = (
        f"In the worst layer {shares} % of the ReLU's units gave 0 for all of {images}: nothing is learnt through them."
        f" Half or more are so in {counted(found[0].layers, 'layer')} of {found[0].looked_at}{_in_runs(found, seen)}."
    )
    remedy = (
        "Lower the learning rate (--lr), or raise it slowly (--warmup), and start biases at 0: a unit that is once "
        "below 0 for all images stays there. A normalisation in front of it (--bn on), or a leaky ReLU, keeps it alive."
    )
    return [_verdict("dead-units", found, text, remedy, MAAS_2013, group)]


def saturated_units(group: Group) -> list[Verdict]:
    """Whether bounded activations are at their ends.

    *Counting semantics.* The share of all values that a sigmoid, tanh or the like gave in the last look that lie within
    5 % of its range of one of its ends, where its slope is next to nothing. The layer with the largest share counts.
    """
    seen, found = _worst(group, "activation_saturated", SATURATED_SHARE)
    if not seen:
        return []
    if not found:
        highest = range_text([100 * one.value for one in seen], ".0f")
        text = (
            f"In the worst of {counted(seen[0].looked_at, 'bounded activation')}, {highest} % of the values are within "
            f"5 % of an end of its range ({_images(group)}, {counted(len(seen), 'run')})."
        )
        return [Verdict("saturated-units", "good", text, group.variant)]
    text = (
        f"In the worst layer {range_text([100 * one.value for one in found], '.0f')} % of the values are within 5 % of "
        f"an end of the activation's range, where its slope is next to nothing ({_images(group)}); "
        f"{100 * SATURATED_SHARE:.0f} % or more are so in {counted(found[0].layers, 'layer')} of {found[0].looked_at}"
        f"{_in_runs(found, seen)}."
    )
    remedy = (
        "Start with smaller weights (Glorot's) and lower the learning rate (--lr); a normalisation in front of the "
        "activation (--bn on) keeps it in the middle of its range."
    )
    return [_verdict("saturated-units", found, text, remedy, GLOROT_2010, group)]


def gradients(group: Group) -> list[Verdict]:
    """Whether the gradient reaches the first layers, and in what size.

    *Counting semantics.* The norm of the gradient of the loss with respect to what the first layer with weights gives,
    over that of the last one, in the last look; from `FEWEST_LAYERS` such layers on. Where dead or saturated units stop
    it, they are what is said. A layer whose weights are trained and to which no gradient comes back at all was cut off
    in the forward pass, by `detach()` or `no_grad()` for instance.
    """
    cut, low, high, seen = [], [], [], []
    for run, series in _looks(group):
        weighted = _weighted(series)
        norms, own = _row(series, "gradient_norm")[weighted], _row(series, "weight_gradient_norm")[weighted]
        names = [name for name, is_weighted in zip(series.layers, weighted, strict=True) if is_weighted]
        lost = [place for place, (norm, held) in enumerate(zip(norms, own, strict=True)) if norm != norm and held == 0]
        if lost and len(lost) < len(names):  # else no gradient was looked at
            cut.append(_Found(run, names[lost[-1]], 0.0, len(lost), len(names)))
        elif len(names) >= FEWEST_LAYERS and math.isfinite(ratio := _ratio(norms)):
            one = _Found(run, names[0], ratio, 1, len(names))
            seen.append(one)
            if ratio > EXPLODING:
                high.append(one)
            elif ratio < VANISHING and not _is_blocked(series):
                low.append(one)
    verdicts = []
    if cut:
        text = (
            f"No gradient comes back to {counted(cut[0].layers, 'layer')} of {cut[0].looked_at} with weights that are "
            f"to be trained{_in_runs(cut, cut)}: they stay as they were."
        )
        remedy = (
            "Look in the forward pass, behind this layer, for detach(), no_grad(), .data, or an operation without a "
            "gradient (argmax, round). If the layers shall be frozen, set requires_grad to False."
        )
        verdicts.append(_verdict("cut-gradients", cut, text, remedy, AUTOGRAD, group))
    kinds: list[tuple[str, list[_Found], str, str, str]] = [
        (
            "vanishing-gradients",
            low,
            "of what it is at the last one: the first layers hardly learn",
            (
                "Take ReLUs in place of sigmoids, He's or Glorot's first weights, a normalisation (--bn on), or skip "
                "connections (--skip on): each keeps the gradient's size through depth."
            ),
            GLOROT_2010,
        ),
        (
            "exploding-gradients",
            high,
            "times what it is at the last one",
            (
                "Start with smaller weights: He's for ReLUs, Glorot's for tanh; a normalisation (--bn on) makes their "
                "size matter less. A lower learning rate alone does not mend it."
            ),
            HE_2015,
        ),
    ]
    for check, found, words, remedy, source in kinds:
        if found:
            text = (
                f"The gradient's norm at the first of {counted(found[0].looked_at, 'layer')} with weights is "
                f"{range_text([one.value for one in found], '.2g')} {words} ({_when(found, group)})"
                f"{_in_runs(found, seen)}."
            )
            verdicts.append(_verdict(check, found, text, remedy, source, group))
    if seen and not verdicts and not any(_is_blocked(series) for _, series in _looks(group)):
        text = (
            f"The gradient's norm at the first of {counted(seen[0].looked_at, 'layer')} with weights is "
            f"{range_text([one.value for one in seen], '.2g')} times that at the last ({counted(len(seen), 'run')})."
        )
        verdicts.append(Verdict("gradients-by-depth", "good", text, group.variant))
    return verdicts


def update_ratios(group: Group) -> list[Verdict]:
    """Whether a step moves the weights by a sensible part of them.

    *Counting semantics.* |w - w'| / |w'| of the last step, the median over the layers with weights. A small one counts
    where the rate is constant and the training loss above `LEARNING_LOSS_SHARE` of that of guessing: whoever has
    learnt makes small steps. Runs whose gradients don't arrive are left out; they have a verdict of their own.
    """
    seen, slow, fast = [], [], []
    for run, series in _looks(group):
        value, layers = _median_update(series)
        if not layers or _is_blocked(series) or not _is_reached(series):
            continue
        one = _Found(run, "", value, layers, layers)
        seen.append(one)
        if value > FAST_UPDATES:
            fast.append(one)
        elif value < SLOW_UPDATES and run.config.schedule == "constant" and _is_far(run):
            slow.append(one)
    found = slow or fast
    if not seen:
        return []
    values = range_text([one.value for one in found or seen], ".2g")
    text = (
        f"The last step moved the weights by {values} of their norm (median of "
        f"{counted(seen[0].layers, 'layer')}{_in_runs(found, seen) or ', ' + counted(len(seen), 'run')}); "
        "0.01 is usual."
    )
    if not found:
        return [Verdict("update-ratios", "good", text, group.variant)]
    remedy = "Raise the learning rate (--lr), by a factor of 10 at a time."
    if not slow:
        decayed = any(one.run.config.weight_decay for one in fast)
        remedy = f"Lower the learning rate (--lr){' or the weight decay (--weight-decay)' if decayed else ''}."
    return [_verdict("update-ratios", found, text, remedy, GOODFELLOW_2016, group)]


def moves_fast(group: Group) -> bool:
    """Whether the last step of some run moved the weights so far that the next batch saw another network."""
    return any(_median_update(series)[0] > FAST_UPDATES for _, series in _looks(group))


def _median_update(series: LayerSeries) -> tuple[float, int]:
    """The update ratio, the median over the layers with weights that have one, and their number; NaN for none."""
    import numpy as np

    ratios = _row(series, "update_ratio")[_weighted(series)]
    ratios = ratios[np.isfinite(ratios)]
    return (float(np.median(ratios)), len(ratios)) if len(ratios) else (math.nan, 0)


def _is_reached(series: LayerSeries) -> bool:
    """Whether a gradient of some size comes back to all layers with weights."""
    import numpy as np

    norms = _row(series, "gradient_norm")[_weighted(series)]
    return bool(np.isfinite(norms).all()) and (len(norms) < 2 or _ratio(norms) >= VANISHING)


def _verdict(check: str, found: Sequence[_Found], text: str, remedy: str, source: str, group: Group) -> Verdict:
    learnt = all(one.run.status == "finished" and has_learnt(one.run) is not False for one in found)
    level: Level = "warning" if learnt else "problem"
    seeds = tuple(one.run.config.seed for one in found)
    return Verdict(check, level, text, group.variant, seeds, found[0].layer, remedy, source)


def _looks(group: Group) -> list[tuple[Run, LayerSeries]]:
    """The runs that came to an end and whose layers were looked at."""
    return [(run, group.signals[run.key]) for run in group.runs if run.key in group.signals]


def _worst(group: Group, quantity: str, limit: float) -> tuple[list[_Found], list[_Found]]:
    """The layer of the largest value, of each run that has some; and those among them at the limit or above."""
    import numpy as np

    seen = []
    for run, series in _looks(group):
        values = _row(series, quantity)
        if not np.isnan(values).all():
            place = int(np.nanargmax(values))
            reached, looked_at = int((values >= limit).sum()), int((~np.isnan(values)).sum())
            seen.append(_Found(run, series.layers[place], float(values[place]), reached, looked_at))
    return seen, sorted((one for one in seen if one.value >= limit), key=lambda one: -one.value)


def _row(series: LayerSeries, quantity: str) -> Array:
    """(layers,) of the last look; NaN where there is nothing."""
    import numpy as np

    values = series.quantities.get(quantity)
    return np.full(len(series.layers), np.nan) if values is None else np.asarray(values[-1], dtype=np.float64)


def _weighted(series: LayerSeries) -> Array:
    """(layers,) which have a matrix or a kernel that is trained."""
    import numpy as np

    return np.ones(len(series.layers), dtype=bool) if series.weighted is None else np.asarray(series.weighted, bool)


def _ratio(norms: Array) -> float:
    """The first over the last; NaN where that is no number."""
    return float(norms[0] / norms[-1]) if norms[-1] > 0 else math.nan


def _is_blocked(series: LayerSeries) -> bool:
    """Whether dead or saturated units stop the gradient."""
    import numpy as np

    limits: tuple[tuple[str, Callable[[float], bool]], ...] = (
        ("activation_dead", lambda share: share > 0.9),
        ("activation_saturated", lambda share: share >= SATURATED_SHARE),
    )
    return any(holds(float(np.nan_to_num(_row(series, name)).max(initial=0.0))) for name, holds in limits)


def _is_far(run: Run) -> bool:
    """Whether the training loss is far above what training reaches, as far as the records say what guessing gives."""
    classes, loss = len(run.data.classes) if run.data is not None else 0, run.metric("train_loss")
    return classes > 1 and loss is not None and loss > LEARNING_LOSS_SHARE * math.log(classes)


def _images(group: Group) -> str:
    return counted(max(series.images for _, series in _looks(group)), "training image")


def _when(found: Sequence[_Found], group: Group) -> str:
    step = group.signals[found[0].run.key].steps[-1]
    return f"after {counted(step, 'step')}" if step else "at the first weights"


def _in_runs(found: Sequence[_Found], seen: Sequence[_Found]) -> str:
    """In how many runs, for a sentence; empty for the only one."""
    return f", in {len(found)} of {counted(len(seen), 'run')}" if len(seen) > 1 and found else ""
