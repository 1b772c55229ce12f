from collections.abc import Sequence

import pytest

from archlab.training.stacking.stack import Stack
from archlab.training.step import Step, Taken


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many steps were taken together each time."""
    counts: list[int] = []
    take = Stack.take

    def note(stack: Stack, steps: Sequence[Step]) -> list[Taken]:
        counts.append(len(steps))
        return take(stack, steps)

    monkeypatch.setattr(Stack, "take", note)
    return counts
