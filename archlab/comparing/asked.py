"""A design that was asked for before, from the store's index: it needs no torch, as long as the code is as it was."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from archlab.circumstances import code, digest
from archlab.comparing.designing import Design, design, seeds_of
from archlab.records import TrainingConfig
from archlab.store import Store
from archlab.store.index import Index


class AskedDesign:
    """A design, which the store's index may know.

    Args:
        network: its source.
        store: whose index has the answers.
        asked: what else `design` takes; its seeds need not be the same.
    """

    def __init__(self, network: str, store: Store, **asked: Any) -> None:
        versions, self._index = code(network), Index(store.path)
        others = sorted((name, value) for name, value in asked.items() if name != "seeds")
        self._question = "" if versions is None else digest("design", network, others, versions)
        self._network, self._asked, self._variants = network, asked, self._kept()

    @property
    def is_known(self) -> bool:
        """Whether the index has it."""
        return bool(self._variants)

    @cached_property
    def design(self) -> Design:
        """The design, made now where it isn't known.

        Raises:
            InputError: nothing varies, or something can't vary so.
        """
        if self._variants:
            return Design(self._variants, seeds_of(self._asked["seeds"]))
        return design(self._network, **self._asked)

    def _kept(self) -> tuple[TrainingConfig, ...]:
        import msgspec

        kept = self._index.answers([self._question]) if self._question else {}
        try:
            return msgspec.json.decode(kept[self._question], type=tuple[TrainingConfig, ...])
        except (KeyError, msgspec.MsgspecError):
            return ()

    def keep(self) -> None:
        """Have it known; in a store that is there, since nothing else of it may be worth a folder."""
        import msgspec

        if self._question:
            self._index.keep_answers({self._question: msgspec.json.encode(self.design.variants).decode()})
