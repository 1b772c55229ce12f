"""Which experiments a store's runs belong to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from archlab.records import TrainingConfig
from archlab.records.entry import Entry, Setup
from archlab.records.settings import varying
from archlab.reports.live.board import short
from archlab.reports.text import slug


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one experiment, by their keys."""

    anchor: str
    """Stays the same whatever else comes into the store."""
    keys: tuple[str, ...]


class Grouping:
    """Puts runs together that share everything but the seed and what their variants' names vary.

    What a setup shares with others is found out once, however often it is asked for.
    """

    def __init__(self) -> None:
        self._anchors: dict[Setup, str] = {}

    def groups(self, entries: Iterable[Entry]) -> list[Group]:
        """The experiments, the one that started last first.

        Args:
            entries: the oldest first; of two machines' runs of the same configuration and seed the later one counts.
        """
        together: dict[str, dict[object, Entry]] = {}
        latest: dict[str, str] = {}
        for entry in entries:
            anchor = self._anchors.get(entry.setup) or self._anchors.setdefault(entry.setup, _anchor(entry.setup))
            name = entry.key if entry.is_watched else (entry.setup, entry.seed)
            together.setdefault(anchor, {})[name] = entry
            latest[anchor] = entry.created
        order = sorted(together, key=lambda anchor: latest[anchor], reverse=True)
        return [Group(anchor, tuple(entry.key for entry in together[anchor].values())) for anchor in order]


def _anchor(setup: Setup) -> str:
    import msgspec

    config = msgspec.json.decode(setup.text)  # a record of it would be made and taken apart again, thousands of times
    network, dataset = config["network"], config["dataset"]
    return f"{slug(f'{network} {dataset}')}-{short(f'{network} on {dataset}' if setup.watched else _shared(config))}"


def _shared(config: dict[str, Any]) -> str:
    """What all runs of an experiment have in common, and the names of what varies."""
    import msgspec

    varied = [part.partition("=")[0] for part in config["variant"].split(", ") if "=" in part]
    known = varying(TrainingConfig)
    settings = {known[name].field: known[name].default for name in varied if name in known}
    options = {name: value for name, value in config["options"].items() if name not in varied}
    named = {"seed": 0, "variant": ",".join(varied), "options": options}
    return msgspec.json.encode(config | settings | named).decode()
