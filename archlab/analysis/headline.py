"""What runs found, in one sentence in a person's words, and what else is to be known of it in a second.

The sentence says no more than the claims do (`claims.py`): it is about a difference that the comparison calls different
or equal, and where there is none, it says that these seeds can't tell. `findings.py` has the numbers behind it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archlab.analysis.chance import has_learnt, variant_has_learnt
from archlab.analysis.contrasts import factors_of
from archlab.analysis.findings import margin_text
from archlab.analysis.metrics import BY_NAME, EVALUATION, PRECISE, SHARE, Metric
from archlab.analysis.wording import counted, range_text
from archlab.records import Comparison, Difference, Run, Value, VariantResult
from archlab.records.comparison import Conclusion

NETWORKS = {"lenet": "LeNet", "resnet": "ResNet", "densenet": "DenseNet"}
NORMS = {
    "none": "without BatchNorm",
    "batch": "with BatchNorm",
    "scratch": "with BatchNorm from scratch",
    "group": "with GroupNorm",
    "layer": "with LayerNorm",
    "instance": "with InstanceNorm",
    "frozen": "with frozen BatchNorm",
}
IMAGES = {
    "none": "with images as they are",
    "data": "with normalised images",
    "imagenet": "with images normalised as ImageNet's",
}
SKIPS = {"on": "with skip connections", "off": "without skip connections"}
FACTORS = {"norm": "the normalisation", "skip": "skip connections"}
MANY_SEEDS_NEEDED = "more than 1,000"


@dataclass(frozen=True, slots=True)
class Headline:
    """The one sentence, and the one after it, which may be empty."""

    text: str
    more: str = ""
    about: Difference | None = None
    """The difference that the sentence is about; None where it is about all of them, or about none."""


def headline(comparison: Comparison) -> Headline | None:
    """The most that a comparison shows of its primary metric; None where it holds no two variants side by side.

    Of several differences it is the largest that is called different; else the sentence is about all of them.
    """
    variants = {variant.name: variant for variant in comparison.variants}
    asked = [one for one in comparison.differences if one.metric == comparison.metric]
    if not asked:
        return None
    different = [one for one in asked if one.conclusion == "different"]
    if len(asked) == 1 or different:
        chosen = max(different or asked, key=lambda one: abs(one.mean))
        text = _of_pair(chosen, variants[chosen.baseline], variants[chosen.variant], comparison)
        return Headline(_sentence_case(text), _counted(asked, comparison), chosen)
    return Headline(_sentence_case(_of_all(asked, comparison)), _counted(asked, comparison))


def runs_headline(runs: Sequence[Run]) -> Headline | None:
    """What runs that nobody compares ended at, as precise statistics and as evaluation see it; None before any epoch.

    They are of one network and its variants. A mean needs runs that were planned as such, so it gives a range.
    """
    ended = [run for run in runs if run.epochs]
    if not ended:
        return None
    title = network_title(ended[0].config.network)
    last = [run.epochs[-1] for run in ended]
    precise = [epoch.test_accuracy for epoch in last if epoch.test_accuracy is not None]
    if not precise:
        losses = [epoch.train_loss for epoch in last if epoch.train_loss is not None]
        reached = f"{title} reaches a training loss of {range_text(losses, '.4g')} nats" if losses else f"{title} ran"
        return Headline(f"{reached}, {_after(ended)}")
    running = [epoch.test_accuracy_running for epoch in last if epoch.test_accuracy_running is not None]
    text = f"{range_text([100 * value for value in precise], '.1f')} % test accuracy"
    if all(has_learnt(run) is False for run in ended):
        sentence = f"{title} stays at chance: {text}"
    else:
        sentence = f"{title} reaches {text}"
    if batch := next((epoch.test_batch for epoch in last if epoch.test_batch), None):
        sentence += f" by the statistics of test batches of {counted(batch, 'image')}"
        running = []
    if running:
        sentence += f" with {PRECISE}, {range_text([100 * value for value in running], '.1f')} % in {EVALUATION}"
    return Headline(f"{sentence}, {_after(ended)}")


def _after(runs: Sequence[Run]) -> str:
    """The end of a sentence about what runs ended at."""
    told = ", as the loop that was watched told it" if all(run.watched for run in runs) else ""
    basis = "one run, which says nothing of other seeds" if len(runs) == 1 else counted(len(runs), "run")
    return f"after {_epochs(runs)}{told}: {basis}."


def _epochs(runs: Sequence[Run]) -> str:
    counts = [len(run.epochs) for run in runs]
    least, most = min(counts), max(counts)
    return counted(most, "epoch") if least == most else f"{least} to {most} epochs"


def network_title(source: str) -> str:
    """A built-in network's name as papers write it; another source as it is.

    >>> network_title("lenet"), network_title("resnet20"), network_title("torchvision:resnet18")
    ('LeNet', 'ResNet-20', 'torchvision:resnet18')
    """
    depth = re.fullmatch(r"resnet(\d+)", source)
    return f"ResNet-{depth[1]}" if depth else NETWORKS.get(source, source)


def _of_pair(found: Difference, baseline: VariantResult, variant: VariantResult, comparison: Comparison) -> str:
    metric = BY_NAME[found.metric]
    changed = {
        name: value
        for name, value in variant.options.items()
        if name not in baseline.options or baseline.options[name] != value
    }
    held = {name: value for name, value in variant.options.items() if name not in changed}
    title, other = network_title(str(variant.options.get("network", comparison.network))), ""
    subject, phrase = " ".join(filter(None, (title, _phrase(held, "at")))), _phrase(changed, "with")
    if "network" in changed:
        other, phrase = f" of {network_title(str(baseline.options['network']))}", ""
    numbers = _sides(found, baseline, variant, metric)
    against = f"{numbers[0]} against {numbers[1]}{other}"
    before, behind = (f"{phrase}, ", f" {phrase}") if phrase else ("", "")
    if found.n < 2:
        return f"one seed can't tell whether {subject} has another {metric.title}{behind}: {against}"
    if found.conclusion == "different":
        same = sum((value > 0) == (found.mean > 0) and value != 0 for value in found.values)
        seeds = f"in {same} of {found.n} seeds"
        if metric.unit is SHARE and found.mean < 0 and variant_has_learnt(variant, comparison) is False:
            return f"{before}{subject} stays at chance: {against} {metric.title}, {seeds}"
        direction = "higher" if found.mean > 0 else "lower"
        return f"{before}{subject} reaches a {direction} {metric.title}: {against}, {seeds}"
    if found.conclusion == "equal":
        margin = margin_text(comparison)
        return (
            f"{before}{subject} reaches the same {metric.title} within {margin}: {against}, {counted(found.n, 'seed')}"
        )
    needed = f"{found.seeds_needed:,}" if found.seeds_needed else MANY_SEEDS_NEEDED
    return (
        f"{counted(found.n, 'seed')} can't tell yet whether {subject} has another "
        f"{metric.title}{behind}: {against}; about {needed} would"
    )


def _of_all(asked: Sequence[Difference], comparison: Comparison) -> str:
    metric = BY_NAME[comparison.metric]
    network = network_title(comparison.network)
    conclusions = Counter(one.conclusion for one in asked)
    if set(conclusions) == {"equal"}:
        return f"all {len(comparison.variants)} variants of {network} are equal in {metric.title}"
    return (
        f"none of the {len(asked)} differences between {len(comparison.variants)} variants of {network} in "
        f"{metric.title} is settled yet"
    )


def _counted(asked: Sequence[Difference], comparison: Comparison) -> str:
    """How many differences came out how, and whether factors depend on each other; empty where all is said."""
    if len({one.conclusion for one in asked}) < 2 and not comparison.interactions:
        return ""
    words: dict[Conclusion, str] = {"different": "different", "equal": "equal", "unclear": "not settled yet"}
    counts = Counter(one.conclusion for one in asked)
    told = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    sentences = [f"Of {len(asked)} paired differences: {told}."] if told else []
    if any(one.conclusion == "different" for one in comparison.interactions):
        first, *others = (FACTORS.get(name, name.replace("_", " ")) for name in factors_of(comparison.variants))
        sentences.append(
            f"What {' or '.join(others)} {'do' if others == [FACTORS['skip']] else 'does'} depends on {first}."
        )
    return " ".join(sentences)


def _phrase(options: Mapping[str, Value], word: str) -> str:
    """Some of a variant's options in words: `without BatchNorm at batch size 64`; `word` is that before a number."""
    said = []
    for name, value in options.items():
        if name == "norm" and value in NORMS:
            said.append(NORMS[str(value)])
        elif name == "skip":
            said.append(SKIPS["off" if value in (False, "off") else "on"])
        elif name == "normalise":
            said.append(IMAGES[str(value)])
        elif name != "network":
            said.append(f"{word} {name.replace('_', ' ')} {f'{value:g}' if isinstance(value, float) else value}")
    return " and ".join(said)


def _sides(found: Difference, baseline: VariantResult, variant: VariantResult, metric: Metric) -> tuple[str, str]:
    """Both means with as many digits as their difference needs: `10 %` and `94 %`, `97.1 %` and `96.4 %`."""
    digits = metric.unit.digits
    if metric.unit is SHARE:
        digits = 0 if abs(found.mean) >= 0.1 else 1 if abs(found.mean) >= 0.01 else 2
    means = (side.metrics[found.metric].mean for side in (variant, baseline))
    first, second = (f"{metric.unit.scale * mean:.{digits}f} {metric.unit.name}".rstrip() for mean in means)
    return first, second


def _sentence_case(text: str) -> str:
    """The sentence with a capital at its start, unless a source's name stands there, and a full stop."""
    known = text.split(" ")[0].isalpha()
    return (text[0].upper() + text[1:] if known else text) + "."
