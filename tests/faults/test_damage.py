import os
import random
import signal

import pytest

from tests.faults.damage import DAMAGES, Sample, attempt, sample, unhashed

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGALRM") or not hasattr(os, "mkfifo"), reason="needs POSIX")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module", params=["hashed", "unhashed"])
def made(request: pytest.FixtureRequest, whole: Sample, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return whole if request.param == "hashed" else unhashed(whole, tmp_path_factory.mktemp("unhashed"))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damage_is_seen_and_ends_no_command(made: Sample, kind: str) -> None:
    """Of each kind four files; `python -m tests.faults.damage` tries 2,000 times, with every command."""
    chance = random.Random(kind)
    places = chance.sample(range(len(made.victims())), 4)
    assert [one for place in places for one in attempt(made, place, kind, chance, quick=True)] == []
