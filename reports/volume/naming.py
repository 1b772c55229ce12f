"""Short names for groups of blocks: what is theirs alone of their paths."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.reports.text import visible
from archlab.reports.volume.tensors import Tensor


def short_names(tensors: Sequence[Tensor], groups: Sequence[tuple[int, int]]) -> list[list[str]]:
    """The names of the tensors of each group, which is given by its first tensor and how many it has.

    `stage_1.0.conv_1` and `stage_1.1.conv_1` are `stage_1` where no other group has anything of it; of `features.conv`
    and `features.pool` the level that most of the network lies in is left out.
    """
    homes: dict[str, set[int]] = {}
    for number, (first, count) in enumerate(groups):
        for tensor in tensors[first : first + count]:
            for prefix in _prefixes(tensor.path):
                homes.setdefault(prefix, set()).add(number)
    outer = [prefix for prefix, found in homes.items() if 2 * len(found) > len(groups)]
    common = max(outer, key=len, default="")

    def name(tensor: Tensor) -> str:
        own = next((prefix for prefix in _prefixes(tensor.path) if len(homes[prefix]) == 1), tensor.path)
        short = own.removeprefix(f"{common}.") if common else own
        return visible(own if short.isdecimal() else short)

    return [[name(tensor) for tensor in tensors[first : first + count]] for first, count in groups]


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]
