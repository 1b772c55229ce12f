"""Parts of a comparison, for several machines with one store."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archlab.cli.common.sharding import part
from archlab.comparing import design
from archlab.store import open_store
from tests.cli.conftest import Call

CONFIGS = design("lenet", bn="off", seeds=10).configs
SMALL = ("compare", "--bn", "off", "--epochs", "1", "--train-samples", "32", "--test-samples", "20", "--seeds", "1")


@given(parts=st.integers(1, len(CONFIGS)), count=st.integers(1, len(CONFIGS)))
def test_parts_are_the_whole_each_run_once_and_as_large(parts: int, count: int) -> None:
    assume(parts <= count)
    found = [part(CONFIGS[:count], f"{place}/{parts}") for place in range(1, parts + 1)]
    assert [config for one in found for config in one] == CONFIGS[:count]
    assert max(map(len, found)) - min(map(len, found)) <= 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--shard", "0/2"), "expected I/N with I from 1 to N"),
        (("--shard", "3/2"), "expected I/N with I from 1 to N"),
        (("--shard", "half"), "expected I/N with I from 1 to N"),
        (("--shard", "1/3"), "expected at most 2 parts: there are 2 runs"),
        (("--shard", "1/2", "--report", "a.html"), "--shard trains a part of its runs"),
    ],
)
def test_what_is_no_part_is_refused_before_the_work(words: tuple[str, ...], said: str, archlab: Call) -> None:
    found = archlab(*SMALL, *words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


def test_parts_together_are_the_comparison(archlab: Call) -> None:
    for place in (1, 2):
        found = archlab(*SMALL, "--shard", f"{place}/2")
        assert f"part {place}/2, 1 of 2 runs" in found.stdout
        assert len(open_store().runs()) == place
    assert open_store().comparisons() == []
    assert "2 of 2 runs were in the store already" in archlab(*SMALL, "--no-report").stderr
    assert len(open_store().comparisons()) == 1
