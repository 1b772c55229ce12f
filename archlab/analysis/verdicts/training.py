"""Checks of a variant's training: runs that failed, losses that did not fall or jumped, train against test accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from archlab.analysis.chance import class_count, has_learnt
from archlab.analysis.metrics import SHARE
from archlab.analysis.statistics import paired_difference
from archlab.analysis.verdicts.group import Array, Group, interval_text
from archlab.analysis.verdicts.uses import breaks_averages, is_poisoned
from archlab.analysis.wording import counted, range_text
from archlab.records import Run, Verdict

UNLEARNT_LOSS_SHARE = 0.98
"""Share of the loss of guessing, or of the first steps', that the last epoch's must fall below. LeNets without
BatchNorm are at 0.92 and below once they have left the plateau of their first epochs, at 1.00 before."""
BLOCK_STEPS = 5
"""Steps that losses are averaged over, or a hundredth of the run: one batch may be hard by chance, five are not."""
JUMP_SHARE = 0.25
"""Share of the loss's fall so far that a jump must undo."""
JUMP_STANDARD_ERRORS = 12
"""Standard errors of a block's mean that a jump must exceed. The rise above the lowest of 100 blocks of a flat loss is
5 to 6 at the median, and once in a thousand runs 8 for normal losses and 12 for exponential ones (simulated)."""
GRAVE_LOSS_FACTOR = 2.0
"""Times the first loss, which is that of guessing: only weights far from any solution are so wrong."""
ACCURACY_GAP = 0.02
"""Difference of train and test accuracy from which on it is named: below, it is the size of a test set's own error
(2 points at 359 digits and 85 %)."""
PLATEAU = (
    " Without BatchNorm (--bn on), networks of sigmoid or tanh may stay on a plateau for many epochs, and then leave "
    "it."
)

COHEN_2022 = "Cohen et al., Adaptive Gradient Methods at the Edge of Stability, 2022, section 3"
BENGIO_2012 = "Bengio, Practical Recommendations for Gradient-Based Training, 2012, section 3.1.1"
GLOROT_2010 = (
    "Glorot and Bengio, Understanding the Difficulty of Training Deep Feedforward Neural Networks, 2010, section 3"
)
GOODFELLOW_2016 = "Goodfellow, Bengio and Courville, Deep Learning, 2016, section 5.2"


def failures(group: Group) -> list[Verdict]:
    """Which runs did not come to a good end, and why.

    *Counting semantics.* Runs that diverged, among them finished ones whose last epoch has a loss that is no finite
    number, are problems, and so are runs that failed; interrupted ones are a warning. Runs that are going are neither.
    Those whose running statistics stopped being finite while the training loss did not are left to `uses`.
    """
    verdicts = []
    diverged = [
        run
        for run in group.runs
        if (run.status == "diverged" or (run.status == "finished" and _is_infinite(run)))
        and not is_poisoned(group, run)
    ]
    if diverged:
        verdicts.append(
            Verdict(
                check="diverged-runs",
                level="problem",
                text=f"{len(diverged)} of {counted(len(group.runs), 'run')} diverged, seed "
                f"{diverged[0].config.seed} for instance: {diverged[0].error or 'its loss is not finite'}.",
                variant=group.variant,
                seeds=tuple(run.config.seed for run in diverged),
                remedy="Lower the learning rate (--lr), or raise it slowly (--warmup). Without BatchNorm, --bn on "
                "lets a network take larger ones.",
                source=BENGIO_2012,
            )
        )
    failed = [run for run in group.runs if run.status == "failed"]
    if failed:
        verdicts.append(
            Verdict(
                check="failed-runs",
                level="problem",
                text=f"{len(failed)} of {counted(len(group.runs), 'run')} failed: {_reasons(failed)}",
                variant=group.variant,
                seeds=tuple(run.config.seed for run in failed),
                remedy="Mend what the message names, and run the same command again: finished runs are kept.",
            )
        )
    stopped = [run for run in group.runs if run.status == "interrupted"]
    if stopped:
        verdicts.append(
            Verdict(
                check="interrupted-runs",
                level="warning",
                text=f"{len(stopped)} of {counted(len(group.runs), 'run')} were interrupted after "
                f"{range_text([len(run.epochs) for run in stopped], 'd')} "
                + ("epochs" if stopped[0].watched else f"of {counted(stopped[0].config.epochs, 'epoch')}")
                + ": they are in no mean.",
                variant=group.variant,
                seeds=tuple(run.config.seed for run in stopped),
                remedy="Run the same command again: it trains what is missing.",
            )
        )
    return verdicts


def _reasons(runs: Sequence[Run]) -> str:
    """The first of the runs' reasons, and how many others there are."""
    reasons = list(dict.fromkeys(run.error for run in runs))
    others = f" {counted(len(reasons) - 1, 'other reason')} beside it." if len(reasons) > 1 else ""
    return f"{reasons[0].rstrip('.')}.{others}"


def _is_infinite(run: Run) -> bool:
    losses = [loss for epoch in run.epochs[-1:] for loss in (epoch.train_loss, epoch.test_loss) if loss is not None]
    return not all(map(math.isfinite, losses))


def progress(group: Group) -> list[Verdict]:
    """Whether the training loss fell.

    *Counting semantics.* The last epoch's training loss against that of guessing, ln(classes), where the data set or
    the option `classes` says how many there are; else against the mean of the first `BLOCK_STEPS` steps. A run whose
    test accuracy is above chance by more than `CHANCE_ERRORS` standard errors of its test images has learnt, whatever
    the epoch's mean loss: it may have left its plateau in the middle of it.
    """
    judged: list[tuple[Run, float, float]] = []
    for run in group.finished:
        reference = _guessing(run)
        losses = group.losses.get(run.key, ())
        if reference is None and len(losses) > 2 * BLOCK_STEPS:
            reference = float(losses[:BLOCK_STEPS].mean())
        loss = run.epochs[-1].train_loss
        if loss is not None and reference is not None and reference > 0 and not _is_infinite(run):
            judged.append((run, loss, reference))
    stuck = [entry for entry in judged if entry[1] >= UNLEARNT_LOSS_SHARE * entry[2] and not has_learnt(entry[0])]
    if not judged:
        return []
    references = range_text([reference for *_, reference in stuck or judged], ".3f")
    known = _guessing(judged[0][0]) is not None
    words = "that of guessing, ln(classes)" if known else f"the mean of the first {BLOCK_STEPS} steps"
    measured = f"in the last epoch, against {references}, {words}"
    learnt = [entry for entry in judged if entry[1] < UNLEARNT_LOSS_SHARE * entry[2]]
    if not stuck and len(learnt) < len(judged):
        return []  # some are above chance, though their loss hardly fell: neither stuck nor well
    if not stuck:
        losses_text = range_text([loss for _, loss, _ in judged], ".3f")
        text = f"The training loss fell to {losses_text} {measured} ({counted(len(judged), 'run')})."
        return [Verdict("learning", "good", text, group.variant)]
    return [
        Verdict(
            check="learning",
            level="problem",
            text=f"{len(stuck)} of {counted(len(judged), 'run')} did not learn: the training loss is "
            f"{range_text([loss for _, loss, _ in stuck], '.3f')} {measured}{_at_chance([run for run, *_ in stuck])}.",
            variant=group.variant,
            seeds=tuple(run.config.seed for run, *_ in stuck),
            remedy="It is far worse than guessing: lower the learning rate (--lr)."
            if any(loss >= GRAVE_LOSS_FACTOR * reference for _, loss, reference in stuck)
            else "Train longer (--epochs), or try learning rates a factor of 10 higher and lower (--lr)."
            + (PLATEAU if any(_saturates(run) for run, *_ in stuck) else ""),
            source=GLOROT_2010,
        )
    ]


def _classes(run: Run) -> int | None:
    return class_count(run.config.dataset, run.config.options)


def _guessing(run: Run) -> float | None:
    """The loss of guessing, in nats; None where the records don't say how many classes there are."""
    classes = _classes(run)
    return None if classes is None else math.log(classes)


def _at_chance(runs: Sequence[Run]) -> str:
    """What the accuracies of runs that did not learn are, for a sentence; empty where nobody knows what chance is."""
    classes = _classes(runs[0])
    known = [accuracy for run in runs if (accuracy := run.epochs[-1].best_accuracy) is not None]
    if classes is None or not known:
        return ""
    accuracies = range_text([100 * accuracy for accuracy in known], ".1f")
    return f"; test accuracy is {accuracies} %, where chance is {100 / classes:.3g} %"


def _saturates(run: Run) -> bool:
    """Whether a network without BatchNorm has activations that saturate, as the course's LeNet has by default."""
    usual = "sigmoid" if run.config.network == "lenet" and not run.watched else ""
    has_norm = run.epochs[-1].test_accuracy_running is not None
    return not has_norm and run.config.options.get("activation", usual) in ("sigmoid", "tanh")


def jumps(group: Group) -> list[Verdict]:
    """Whether the training loss jumped up.

    *Counting semantics.* Losses by step are averaged over blocks of `BLOCK_STEPS` steps, or a hundredth of the run. A
    jump is the greatest rise of a block above the lowest before it (the first step's loss among them), if it undoes
    `JUMP_SHARE` of the fall from the first step to the lowest block of all, and exceeds `JUMP_STANDARD_ERRORS` standard
    errors of a block, by the median spread within blocks. It is a warning if it is not made good in the end or goes
    beyond `GRAVE_LOSS_FACTOR` times the first loss, else a note.
    """
    found = {run.key: jump for run in group.finished if (jump := _jump(group.losses.get(run.key)))}
    if not found:
        return []
    jumped = [run for run in group.finished if run.key in found]
    low, high, step, grave = max(found.values(), key=lambda jump: (jump[3], jump[1] - jump[0]))
    looked_at = sum(run.key in group.losses for run in group.finished)
    return [
        Verdict(
            check="loss-jumps",
            level="warning" if grave else "note",
            text=f"The training loss jumped in {len(jumped)} of {counted(looked_at, 'run')}, at worst from "
            f"{low:.3g} to {high:.3g} nats around step {step:,} (means over {BLOCK_STEPS} steps or more)"
            + (": the weights moved far away, or the jump was not made good." if grave else ", and fell again."),
            variant=group.variant,
            seeds=tuple(run.config.seed for run in jumped),
            remedy="Lower the learning rate (--lr), or raise it slowly in the first steps; look at the batches around "
            "that step.",
            source=COHEN_2022,
        )
    ]


def _jump(losses: Array | None) -> tuple[float, float, int, bool] | None:
    """(from, to, step, whether it is grave), of the greatest jump."""
    import numpy as np

    if losses is None or len(losses) < 3 * BLOCK_STEPS:
        return None
    size = max(BLOCK_STEPS, len(losses) // 100)
    blocks = np.asarray(losses[: len(losses) // size * size], dtype=np.float64).reshape(-1, size)
    if not np.isfinite(blocks).all():
        return None
    means, spread = blocks.mean(axis=1), float(np.median(blocks.std(axis=1, ddof=1)))
    first = float(losses[0])
    before = np.minimum.accumulate(np.concatenate([[first], means[:-1]]))
    # The first loss stands alone, for a jump within the first steps must show; it is one step's, so it is less sure.
    noise = JUMP_STANDARD_ERRORS * np.where(before == first, spread, spread / math.sqrt(size))
    fallen = max(first - float(means.min()), 0.0)
    rise = np.where(means - before > np.maximum(JUMP_SHARE * fallen, noise), means - before, 0.0)
    place = int(rise.argmax())
    if not rise[place]:
        return None
    low, high = float(before[place]), float(means[place])
    lasting = float(means[-1]) - low > max(JUMP_SHARE * (first - low), noise[place])
    return low, high, place * size + 1, lasting or high >= GRAVE_LOSS_FACTOR * first


def gap(group: Group) -> list[Verdict]:
    """How much better the network is on the images that it was trained on.

    *Counting semantics.* Accuracy over the last epoch's training batches, each as it was trained on, minus test
    accuracy with precise statistics. It is left out below `ACCURACY_GAP`, where the runs' interval includes 0, and
    where the test is spoilt by how BatchNorm layers are used (`uses`).
    """
    if breaks_averages(group):
        return []
    last = [(run, run.epochs[-1].train_accuracy, run.epochs[-1].test_accuracy) for run in group.finished]
    told = [(run, one, other) for run, one, other in last if one is not None and other is not None]
    train, test = [one for _, one, _ in told], [other for *_, other in told]
    if not told or not all(map(math.isfinite, (*train, *test))):
        return []
    if fmean(one - other for one, other in zip(train, test, strict=True)) < ACCURACY_GAP:
        return []  # before the interval is found, which takes a while for hundreds of runs
    found = paired_difference(test, train)
    if found.low is not None and found.low <= 0:
        return []
    return [
        Verdict(
            check="generalisation-gap",
            level="note",
            text=f"Train accuracy is {SHARE.number(found.mean)} points above test accuracy ({interval_text(found)}).",
            variant=group.variant,
            seeds=tuple(run.config.seed for run, *_ in told),
            remedy="More training images, fewer epochs or a smaller network narrow it; alone it is no fault.",
            source=GOODFELLOW_2016,
        )
    ]
