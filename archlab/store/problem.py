"""What lies in a store and can't be read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.errors import InputError, StoreError
from archlab.records.display import Shown

if TYPE_CHECKING:
    from archlab.store.store import Store


@dataclass(frozen=True, slots=True)
class Problem(Shown):
    """A folder or file of the store that can't be read, and why."""

    path: Path
    error: str


def unreadable(store: Store, keys: Iterable[str]) -> list[str]:
    """Why runs of these names can't be read; nothing of those that can be, and of those that are not there."""
    found: list[str] = []
    for key in keys:
        try:
            store.run(key)
        except InputError:
            continue
        except StoreError as error:
            found.append(str(error))
    return found
