"""Checks of a variant's data: labels that say nothing, classes that are missing, test images that are no test.

They look at what a run keeps of its data (`records.DataSummary`) and at what it predicted. Runs of older versions keep
neither, and nothing is said of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from archlab.analysis.chance import CHANCE_ERRORS
from archlab.analysis.metrics import SHARE
from archlab.analysis.verdicts.group import Group
from archlab.analysis.verdicts.uses import breaks_averages
from archlab.analysis.wording import counted
from archlab.records import DataSummary, Run, Verdict
from archlab.records.verdict import Level

SHARED_WARNING, SHARED_PROBLEM = 0.005, 0.05
"""Of the test images, that are training images. A share of d raises test accuracy by at most d times the errors: 0.05
of them by a point where 20 % are wrong. CIFAR-100 has 0.1 with near ones (Barz and Denzler 2020, table 1)."""
SCALE_SHIFT, SCALE_FACTOR = 0.25, 1.3
"""Standard deviations of the training images' values by which the test's mean is away, and factor between deviations,
from which on the test has another scale. Subsets of 100 of Fashion-MNIST's images are 0.04 and 1.04 away; images of 0
to 1 beside ones that were standardised, or divided by 255 twice, are 0.8 and 2.5 away."""
SCALE_ERRORS = 5
"""Standard errors that a shift must exceed too, by the spread of the images' own means."""
RANDOM_SEPARATION = 2.0
"""Between-class over within-class variance, below which labels may be drawn at random: those are 1, with an error of
0.1 for ten classes of digits. 359 digits have 36, 50 of them 6, 4,096 images of Fashion-MNIST 390."""
CONSTANT_SHARE = 0.999
"""Of the training labels that are one class. With fewer there is something to learn, though not much: `collapse`."""
COLLAPSED_SHARE = 0.9
"""Of the test images that are put into one class. Healthy networks put up to 0.16 into one of ten classes that have 0.1
each; those that saw little but one class in training, or were stuck, 0.9 to 1."""
MOVED_CLASSES = 0.5
"""Share of the classes whose test images look most like the training images of another one."""
FAR_ABOVE = 0.3
"""Train accuracy minus test accuracy, from which on the two are no estimates of one thing."""
MISSING_PROBLEM = 0.05
"""Share of the test images whose class was never trained."""
ENOUGH_PER_CLASS = 10
"""Images per class on average, from which on a class is not missing by chance: of so many, once in 20,000 (e^-10). And
images of a class, in both parts, from which on its mean says something: its error is then a third of one image's."""

BARZ_2020 = "Barz and Denzler, Do We Train on Test Data?, Journal of Imaging, 2020, section 4"
ZHANG_2017 = "Zhang et al., Understanding Deep Learning Requires Rethinking Generalization, 2017, section 2.2"
NORTHCUTT_2021 = "Northcutt, Athalye and Mueller, Pervasive Label Errors in Test Sets, 2021, section 3"
KARPATHY_2019 = "Karpathy, A Recipe for Training Neural Networks, 2019, step 1"
JAPKOWICZ_2002 = "Japkowicz and Stephen, The Class Imbalance Problem, 2002, section 2"
QUINONERO_2009 = "Quiñonero-Candela et al., Dataset Shift in Machine Learning, 2009, chapter 1"


def shared_images(group: Group) -> list[Verdict]:
    """Whether test images are training images.

    *Counting semantics.* Test images whose bytes, as the network is given them, are those of a training image.
    """
    found = _first(group)
    if found is None or not found[1].duplicates:
        return []
    _run, data = found
    share = data.duplicates / data.test.images
    level: Level = "problem" if share >= SHARED_PROBLEM else "warning" if share >= SHARED_WARNING else "note"
    other = f", {data.mislabelled:,} of them with another label" if data.mislabelled else ""
    text = (
        f"{data.duplicates:,} of {counted(data.test.images, 'test image')} ({SHARE.number(share)} %) are training "
        f"images too, byte for byte{other}: on these, test accuracy says what was learnt by heart."
    )
    remedy = "Take them out of the training images, or split the data anew after removing what is there twice."
    return [_verdict("test-in-training", level, text, remedy, BARZ_2020, group)]


def test_scale(group: Group) -> list[Verdict]:
    """Whether the test images have another scale than the training images.

    *Counting semantics.* Mean and standard deviation of the values of a channel, over 4,096 images of each part at
    most: the means are `SCALE_SHIFT` deviations of the training images and `SCALE_ERRORS` standard errors apart, or the
    deviations a factor of `SCALE_FACTOR`. It is a problem where train accuracy is `FAR_ABOVE` test accuracy.
    """
    found = _first(group)
    if found is None or (channel := shifted_channel(found[1])) is None:
        return []
    _run, data = found
    train, test = (f"{part.mean[channel]:.3g} ± {part.deviation[channel]:.3g}" for part in (data.train, data.test))
    which = f" in channel {channel + 1}" if len(data.train.mean) > 1 else ""
    text = (
        f"The test images have another scale than the training images{which}: {test} against {train} (mean and "
        f"standard deviation of the values, from 0 to 1, {data.test.images:,} and {counted(data.train.images, 'image')}"
        "). Their accuracy is that of other data, whatever statistics BatchNorm uses."
    )
    remedy = "Prepare both alike: the same division by 255, the same mean and deviation, the same colour order."
    level: Level = "problem" if _falls_short(group, FAR_ABOVE) else "warning"
    return [_verdict("test-scale", level, text, remedy, QUINONERO_2009, group)]


def shifted_channel(data: DataSummary) -> int | None:
    """The first channel in which the test images have another scale than the training images; None for none.

    >>> from archlab.records import PartSummary
    >>> grey = PartSummary((50, 50), mean=(0.3,), deviation=(0.35,), spread=(0.1,))
    >>> half = PartSummary((50, 50), mean=(0.15,), deviation=(0.175,), spread=(0.05,))
    >>> shifted_channel(DataSummary(("a", "b"), grey, grey, 0)), shifted_channel(DataSummary(("a", "b"), grey, half, 0))
    (None, 0)
    """
    parts = (data.train, data.test)
    for channel, (mean, other) in enumerate(zip(data.train.mean, data.test.mean, strict=True)):
        deviations = [part.deviation[channel] for part in parts]
        error = math.hypot(*(part.spread[channel] / math.sqrt(max(1, part.images)) for part in parts))
        far = abs(other - mean) > max(SCALE_SHIFT * deviations[0], SCALE_ERRORS * error)
        if far or max(deviations) > SCALE_FACTOR * min(deviations):
            return channel
    return None


def missing_classes(group: Group) -> list[Verdict]:
    """Whether some class has no training images, or no test images.

    *Counting semantics.* Classes of the data set, in the images that the run used. A few images can't have them all:
    below `ENOUGH_PER_CLASS` images per class it is a note.
    """
    found = _first(group)
    if found is None:
        return []
    _, data = found
    verdicts = []
    for name, part, other in (("training", data.train, data.test), ("test", data.test, data.train)):
        lacking = [place for place, count in enumerate(part.counts) if not count]
        if not lacking:
            continue
        affected = sum(other.counts[place] for place in lacking)
        few = part.images < ENOUGH_PER_CLASS * len(data.classes)
        level: Level = "note" if few else "warning"
        if name == "training" and not few and affected >= MISSING_PROBLEM * other.images:
            level = "problem"
        consequence = (
            f": the {counted(affected, 'test image')} of {'it' if len(lacking) == 1 else 'them'} can't be right"
            if name == "training"
            else ": accuracy says nothing of " + ("it" if len(lacking) == 1 else "them")
        )
        text = (
            f"{_class_count(len(lacking))} of {len(data.classes)} "
            f"{'has' if len(lacking) == 1 else 'have'} no {name} images, {_listed(data, lacking)}{consequence}."
        )
        remedy = (
            "Take more images (--train-samples, --test-samples)."
            if few
            else "Look at how the data was split: draw both parts from every class."
        )
        verdicts.append(_verdict("missing-classes", level, text, remedy, KARPATHY_2019, group))
    return verdicts


def labels(group: Group) -> list[Verdict]:
    """Whether the labels are those of the images.

    *Counting semantics.* Training labels are constant if `CONSTANT_SHARE` of them are one class. Labels may be random
    if the classes' mean images are hardly more apart than chance would have them (`PartSummary.separation` below
    `RANDOM_SEPARATION`); that is said where the test is at guessing too, since classes may differ in what a mean
    does not show. Test labels are in another order if the mean test image of `MOVED_CLASSES` or more of the classes
    that have enough images is nearest to that of another class in training, and train accuracy is `FAR_ABOVE` the
    test's.
    """
    found = _first(group)
    if found is None:
        return []
    _run, data = found
    most = max(data.train.counts)
    if most >= CONSTANT_SHARE * data.train.images and len(data.classes) > 1:
        name = data.classes[data.train.counts.index(most)]
        text = (
            f"{most:,} of {counted(data.train.images, 'training image')} are labelled {name!r}: always to answer that "
            "is all that can be learnt."
        )
        remedy = "Look at how the labels are read: the column, the folder's level, the order of the arguments."
        return [_verdict("constant-labels", "problem", text, remedy, KARPATHY_2019, group)]
    if not at_guessing(group) and not _falls_short(group, FAR_ABOVE):
        return []
    if at_guessing(group):
        for name, part, other in (("training", data.train, data.test), ("test", data.test, data.train)):
            if part.separation is not None and part.separation < RANDOM_SEPARATION:
                beside = f" ({other.separation:.3g} for the other part)" if other.separation is not None else ""
                text = (
                    f"The {name} labels have nothing to do with the images, as far as means show: the classes' mean "
                    f"images differ {part.separation:.2g} times as much as those of random labels would{beside}, and "
                    f"test accuracy is that of guessing ({_accuracy_text(group)})."
                )
                remedy = (
                    f"Look at some {name} images beside their labels: were images shuffled without their labels, or "
                    "sorted otherwise?"
                )
                return [_verdict("shuffled-labels", "problem", text, remedy, ZHANG_2017, group)]
    if shifted_channel(data) is not None:
        return []  # means of another scale are near to none of the training images' for a reason of their own
    fewest = [min(pair) for pair in zip(data.train.counts, data.test.counts, strict=True)]
    there = [(place, near) for place, near in enumerate(data.nearest) if fewest[place] >= ENOUGH_PER_CLASS]
    moved = [(place, near) for place, near in there if place != near]
    if there and len(moved) >= MOVED_CLASSES * len(there) and _falls_short(group, FAR_ABOVE):
        example = f"{data.classes[moved[0][0]]!r} like the training images of {data.classes[moved[0][1]]!r}"
        text = (
            f"The test labels look as if they stood in another order: in {len(moved)} of {len(there)} classes the mean "
            f"test image is nearest to another class of the training images, {example} for instance "
            f"({_accuracy_text(group)})."
        )
        remedy = "Number the classes of both parts by one list of names."
        return [_verdict("label-order", "problem", text, remedy, NORTHCUTT_2021, group)]
    return []


def collapse(group: Group) -> list[Verdict]:
    """Whether one class is the answer to everything, though the training loss fell.

    *Counting semantics.* `COLLAPSED_SHARE` of the test images or more are put into one class by the last evaluation,
    while fewer than half are of it. (A network that did not learn at all may answer so too: `learning` says that.)
    Nothing is said where the test is spoilt by how BatchNorm layers are used, of which `uses` speaks.
    """
    if breaks_averages(group):
        return []
    runs = [run for run in group.finished if run.data is not None and run.predicted and _learnt_something(run)]
    found = [run for run in runs if _collapsed_class(run) is not None]
    if not found:
        return []
    run = found[0]
    place = _collapsed_class(run)
    assert place is not None
    assert run.data is not None
    train, test = run.data.train, run.data.test
    share = train.counts[place] / train.images
    name = run.data.classes[place]
    text = (
        f"{run.predicted[place]:,} of {counted(test.images, 'test image')} are put into {name!r}, of which "
        f"{test.counts[place]:,} are, in {len(found)} of {counted(len(runs), 'run')}; {SHARE.number(share)} % of the "
        "training images are of it."
    )
    remedy = (
        "Balance the classes: draw each equally often, or weigh its loss. The loss fell by answering the commonest."
        if share >= 0.5
        else "The network answers in evaluation what it did not in training: look at what differs between the two "
        "(BatchNorm's statistics, dropout, the preparation of the test images)."
    )
    seeds = tuple(one.config.seed for one in found)
    return [Verdict("collapsed-output", "problem", text, group.variant, seeds, "", remedy, JAPKOWICZ_2002)]


def at_guessing(group: Group) -> bool:
    """Whether no finished run's test accuracy is above that of always answering the commonest class."""
    judged = [run for run in group.finished if run.data is not None]
    return bool(judged) and not any(map(_is_above_guessing, judged))


def _is_above_guessing(run: Run) -> bool:
    assert run.data is not None
    counts = run.data.test.counts
    images = max(1, sum(counts))
    guess = max(max(counts) / images, 1 / max(1, len(run.data.classes)))
    error = math.sqrt(guess * (1 - guess) / images)
    last = run.epochs[-1]
    return (last.best_accuracy or 0.0) > guess + CHANCE_ERRORS * error


def _learnt_something(run: Run) -> bool:
    """Whether the training loss is below that of guessing."""
    assert run.data is not None
    classes, loss = len(run.data.classes), run.metric("train_loss")
    return classes > 1 and loss is not None and loss < 0.9 * math.log(classes)


def _collapsed_class(run: Run) -> int | None:
    """The class that everything is put into, if not half of the test images are of it."""
    assert run.data is not None
    place = run.predicted.index(max(run.predicted))
    images = sum(run.predicted)
    collapsed = run.predicted[place] >= COLLAPSED_SHARE * images and run.data.test.counts[place] < images / 2
    return place if collapsed else None


def _falls_short(group: Group, by: float) -> bool:
    """Whether test accuracy is so far below train accuracy in every finished run."""
    ends = [run.epochs[-1] for run in group.finished]
    gaps = [
        end.train_accuracy - end.test_accuracy
        for end in ends
        if end.train_accuracy is not None and end.test_accuracy is not None
    ]
    return bool(gaps) and min(gaps) > by


def _accuracy_text(group: Group) -> str:
    last = group.finished[0].epochs[-1]
    shown = [0.0 if value is None else value for value in (last.train_accuracy, last.test_accuracy)]
    return f"{SHARE.number(shown[0])} % in training, {SHARE.number(shown[1])} % in the test"


def _first(group: Group) -> tuple[Run, DataSummary] | None:
    """The first run that keeps what its data is; runs of a variant have the same."""
    return next(((run, run.data) for run in group.runs if run.data is not None and run.epochs), None)


def _class_count(count: int) -> str:
    return f"{count:,} class{'' if count == 1 else 'es'}"


def _listed(data: DataSummary, places: Sequence[int]) -> str:
    names = [repr(data.classes[place]) for place in places[:3]]
    return ", ".join(names) + (f" and {len(places) - 3} more" if len(places) > 3 else "")


def _verdict(check: str, level: Level, text: str, remedy: str, source: str, group: Group) -> Verdict:
    seeds = tuple(run.config.seed for run in group.runs if run.data is not None)
    return Verdict(check, level, text, group.variant, seeds, "", remedy, source)
