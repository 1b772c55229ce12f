"""The options `norm` and `skip` for networks whose factories have none: what they ask for is done by surgery.

A factory's own option of that name is the factory's. Where it has none, `norm=group` replaces the BatchNorm layers of
what it builds, and `skip=off` switches off its residual skip connections. So the two are the same options on any
source: in configurations, keys, the names of variants and titles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from torch import nn

from archlab.errors import InputError
from archlab.networks.options import Option, Signature
from archlab.records import Value
from archlab.records.config import SurgicalNorm
from archlab.records.surgery import Surgery

NORM = Option("norm", SurgicalNorm, "batch", "what stands in the place of each BatchNorm layer; batch leaves it")
SKIP = Option("skip", Literal["on", "off"], "on", "residual skip connections")
_SIDES = (32, 64, 96, 224, 28)
"""Heights and widths of images that a network is tried on, where nothing says what it takes."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What is changed in a network once it is built."""

    norm: str = "batch"
    skip: str = "on"
    given: tuple[str, ...] = ()
    """Which of the two were given, with whatever value."""
    inputs: object = None
    """What the network is run on to find what feeds what; None where the source's own inputs are to be taken."""

    def __bool__(self) -> bool:
        """Whether anything is changed."""
        return self.norm != "batch" or self.skip != "on"

    @property
    def options(self) -> dict[str, Value]:
        """The options that ask for it."""
        return {name: getattr(self, name) for name in self.given}

    def perform(self, network: nn.Module, known: object) -> tuple[nn.Module, tuple[str, ...]]:
        """A changed copy of the network, and sentences that say what was changed.

        A copy, since a factory may give what lies in its module, the same each time.

        Args:
            network: it, just built.
            known: the inputs that its source is made for; None where it knows none.

        Raises:
            InputError: that can't be done, and why.
        """
        from archlab.networks.surgery.norms import replace_norms
        from archlab.networks.surgery.skips import skips_off

        said: list[str] = []
        inputs = known if self.inputs is None else self.inputs
        if self.norm != "batch":
            network, done = replace_norms(network, self.norm, inputs=inputs)
            said.extend(sentences(done))
        if self.skip == "off":
            network, done = skips_off(network, guessed(network) if inputs is None else inputs)
            said.extend(sentences(done))
        return network, tuple(said)


NOTHING = Operation()


def divided(
    signature: Signature, options: Mapping[str, Value], owner: str, *, is_ours: bool = False, is_open: bool = False
) -> tuple[dict[str, Value], Operation]:
    """The options that are the factory's, and what the others ask to be changed.

    Args:
        signature: what the factory takes.
        options: what was given.
        owner: the source, for messages.
        is_ours: the factory is one of archlab's, which knows what of it can be switched.
        is_open: it takes options of any name, and these two may be among them.

    Raises:
        SourceError: `norm` or `skip` has a value that it can't have.
    """
    factorys = dict(options)
    available = offered(signature, is_ours=is_ours, is_open=is_open)
    found: dict[str, str] = {}
    for option in (NORM, SKIP):
        name = option.name
        if name not in options or name not in available:
            continue
        if name not in signature.options:
            found[name] = str(option.convert(factorys.pop(name), owner))
        elif str(options[name]) == "frozen" and available[name] is not signature.options[name]:
            found[name], factorys[name] = "frozen", "batch"
    return factorys, Operation(**found, given=tuple(found))


def offered(signature: Signature, *, is_ours: bool = False, is_open: bool = False) -> Mapping[str, Option]:
    """All options of a source: the factory's own, and those of the two that surgery gives it."""
    found = dict(signature.options)
    own = found.get("norm")
    if own is not None and "batch" in own.choices and "frozen" not in own.choices:
        found["norm"] = replace(own, annotation=Literal[(*get_args(own.annotation), "frozen")])
    if not is_ours and not is_open:
        found |= {option.name: option for option in (NORM, SKIP) if option.name not in found}
    return found


def sentences(done: Surgery) -> list[str]:
    """What surgery did, in a few sentences that belong under a table.

    >>> from archlab.records.surgery import Cut
    >>> sentences(Surgery("norm", "Net", "none", (Cut("bn", "BatchNorm2d", 4, "nothing"),), ("conv",)))
    ['1 BatchNorm layer was taken out (norm=none); 1 layer before it was given a bias, 0 at first.']
    """
    number, given = len(done.done), len(done.biases)
    layers = f"{number} BatchNorm layer{'s were' if number > 1 else ' was'}"
    if done.action == "skip":
        text = f"{number} residual skip connection{'s were' if number > 1 else ' was'} switched off (skip=off)"
        if done.removed:
            text += f"; what served {'them' if number > 1 else 'it'} alone was taken out: {', '.join(done.removed)}"
        return [f"{text}.", *done.notes, *_left(done)]
    what = "taken out" if done.to == "none" else f"replaced by {_kinds(done)}"
    text = f"{layers} {what} (norm={done.to})"
    if given:
        text += f"; {given} layer{'s' if given > 1 else ''} before {'them' if number > 1 else 'it'}"
        text += f" {'were' if given > 1 else 'was'} given a bias, 0 at first"
    chosen = [f"{cut.path}: {cut.reason}." for cut in done.done if cut.reason and " groups " in cut.reason]
    without = sum("no layer that could have a bias" in cut.reason for cut in done.done)
    if without:
        chosen.append(f"Of {without} of them no layer before could be given a bias, since none alone feeds them.")
    return [f"{text}.", *chosen, *done.notes, *_left(done)]


def _kinds(done: Surgery) -> str:
    return " and ".join(dict.fromkeys(cut.into.partition(",")[0] for cut in done.done))


def _left(done: Surgery) -> list[str]:
    return [f"{cut.path} ({cut.kind}) was left as it was: {cut.reason}." for cut in done.left]


def guessed(network: nn.Module) -> object:
    """Inputs that a network runs on, where its source knows none: images of its first layer's channels, or vectors.

    Raises:
        InputError: it doesn't run on any that were tried.
    """
    from archlab.networks.surgery.flow import AFFINE, observe

    first = next((module for module in network.modules() if isinstance(module, AFFINE)), None)
    tried: list[tuple[int, ...]] = []
    if isinstance(first, nn.Linear):
        tried = [(1, first.in_features)]
    elif first is not None:
        axes = len(first.kernel_size)
        tried = [(1, first.in_channels, *[side] * axes) for side in _SIDES]
    for shape in tried:
        try:
            observe(network, shape)
        except InputError:
            continue
        return shape
    raise InputError(
        f"skip=off needs {type(network).__name__} to be run once, and it isn't known on what: tried "
        f"{', '.join('x'.join(map(str, shape)) for shape in tried) or 'nothing'}. Python's "
        "archlab.networks.surgery.skips_off takes inputs of any kind"
    )
