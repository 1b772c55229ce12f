from collections.abc import Iterator, Sequence

import pytest
import torch

from archlab.training.stacking.stack import Stack
from archlab.training.step import Step, Taken


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Networks this small only lose by sharing their work, above all where cores are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
