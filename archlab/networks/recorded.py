"""From what a record names to a network that can be built.

A record is data: it may come from a colleague, or from anybody. What it names is built only where that runs nothing but
archlab's own networks, torchvision's and timm's, with options that are numbers and words of theirs. Whatever else a
record may name (a Python file, a module, a program, a configuration, another package's network) runs code that the
record's author chose, and so does an option that loads weights. That takes the reader's word for it: `trust`.
"""

from __future__ import annotations

from collections.abc import Iterable

from archlab.errors import UntrustedError
from archlab.networks import registry

HARMLESS = {
    "torchvision": frozenset({"num_classes", "image_size", "dropout", "aux_logits", "norm", "skip"}),
    "timm": frozenset({"num_classes", "in_chans", "img_size", "drop_rate", "drop_path_rate", "norm", "skip"}),
}
"""Options of the zoos' networks that load nothing and call nothing. (`weights`, `pretrained` and `checkpoint_path`
fetch or read a file.)"""


def refuse_code(network: str, options: Iterable[str], origin: str = "the record") -> None:
    """Refuse a network that a record names, where building it would run what the record's author chose.

    Args:
        network: its source.
        options: names of its factory's options.
        origin: what names it.

    Raises:
        UntrustedError: it isn't one of archlab's, torchvision's or timm's, or an option loads something.

    >>> refuse_code("lenet", ["norm"])
    >>> refuse_code("subprocess:getoutput", ["cmd"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    archlab.errors.UntrustedError: the record names the network 'subprocess:getoutput', for which code ...
    """
    if reason := _danger(network, options):
        raise UntrustedError(
            f"{origin} names {reason}, and is not run: pass --trust (trust=True) to build it, if you know who wrote it"
        )


def _danger(network: str, options: Iterable[str]) -> str:
    """What code would run, as a record's words; empty where none would but archlab's, torchvision's and timm's."""
    shown = network if len(network) < 100 else f"{network[:99]}…"
    zoo, colon, name = network.partition(":")
    if not colon:
        return "" if registry.is_builtin(network) else f"the network {shown!r}, which is none of archlab's own"
    if zoo not in HARMLESS or not name.isidentifier():
        return f"the network {shown!r}, for which code that somebody else chose is run"
    unknown = [option for option in options if option not in HARMLESS[zoo]]
    return f"the option {unknown[0]!r} of {shown}, which may load what somebody else chose" if unknown else ""
