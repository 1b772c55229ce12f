from __future__ import annotations

from datetime import timedelta

import pytest

from archlab.errors import InputError
from archlab.records import Epoch, Run, TrainingConfig, Watched
from archlab.records.entry import Entry, entry_of
from archlab.records.run import Status
from archlab.store.conditions import age, chosen
from archlab.store.pruning import pruned


def entry(name: str, accuracy: float | None = None, status: Status = "finished", **config: object) -> Entry:
    """A run with an epoch that reached an accuracy, or none."""
    epochs = () if accuracy is None else (Epoch(1, 10, 2.0, test_accuracy=accuracy),)
    day = 1 + "abcd".index(name)
    made = TrainingConfig(**config)  # type: ignore[arg-type]
    return entry_of(Run(name, made, status, epochs, created=f"2026-11-0{day}T12:00:00+00:00"))


WATCHED = entry_of(
    Run(
        "w",
        TrainingConfig("Net", dataset="mine"),
        "failed",
        created="2026-11-08T12:00:00+00:00",
        watched=Watched({"optimizer": "Lion"}),
    )
)
ENTRIES = [
    entry("a", 0.5, network="lenet", options={"norm": "batch", "width": 8}, variant="norm=batch and more", seed=1),
    entry("b", 0.95, network="lenet", options={"norm": "none"}, learning_rate=0.01, size=96),
    entry("c", 0.9, network="resnet20", dataset="cifar10", optimizer="sgd"),
    entry("d", None, "diverged", network="densenet", epochs=9),
    WATCHED,
]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("network=lenet", "ab"),
        ("network = LeNet and test_accuracy>0.9", "b"),
        ("test_accuracy>=90%", "bc"),
        ("test-accuracy<0.95 AND seed==1", "a"),
        ("test_accuracy!=0.5", "bcdw"),
        ("test_accuracy=none", "dw"),
        ("test_accuracy<2", "abc"),
        ("status!=finished", "dw"),
        ("norm=none", "bcdw"),  # that of b; the others have no such option
        ("norm=batch", "a"),
        ("width<=8", "a"),
        ("lr=0.01", "b"),
        ("learning_rate<0.01", "acd"),
        ("optimizer=lion", "w"),
        ("batch_size=256", "c"),
        ("dataset=mine", "w"),
        ("epochs=1", "abc"),  # that have ended
        ("epochs=0", "dw"),
        ("size=96", "b"),
        ('variant="norm=batch and more"', "a"),
        ("variant=norm=batch", ""),
        ("key=d", "d"),
        ("seconds=2", "abc"),
        ("created<2026-11-02T13:00:00+00:00", "ab"),
        ("created=2026-11-03", "c"),
        ("created!=2026-11-03", "abdw"),
        ("network<zzz and seed=1", None),
    ],
)
def test_conditions_choose(text: str, keys: str | None) -> None:
    if keys is None:
        with pytest.raises(InputError, match="expected a number behind <"):
            chosen(ENTRIES, text)
    else:
        assert "".join(one.key for one in chosen(ENTRIES, text)) == keys


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("netwrk=lenet", "runs have no field 'netwrk': did you mean network"),
        ("wdth=8", "did you mean width"),
        ("learningrate=1", "did you mean learning_rate"),
        ("", "'' is no condition, expected FIELD=VALUE"),
        ("network", "'network' is no condition"),
        ("network=", "'network=' is no condition"),
        ("network=lenet and", "is no condition"),
        ("network=lenet or seed=1 and seed", "'seed' is no condition"),
        ("seed=one", "--where seed=one: expected a number behind ="),
        ("test_accuracy>high", "expected a number behind >"),
        ("created>yesterday", "--where created>yesterday: expected a date behind >"),
    ],
)
def test_what_is_no_condition_is_said(text: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        chosen(ENTRIES, text)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30d", timedelta(days=30)),
        ("12H", timedelta(hours=12)),
        ("1.5w", timedelta(weeks=1.5)),
        ("45 m", timedelta(minutes=45)),
        ("30", None),
        ("d", None),
        ("-3d", None),
        ("3y", None),
        ("nand", None),
    ],
)
def test_an_age_is_a_number_and_a_unit(text: str, time: timedelta | None) -> None:
    if time is None:
        with pytest.raises(InputError, match="expected a number with m, h, d or w behind it"):
            age(text)
    else:
        assert age(text) == time


RUNNING = ENTRIES[0]._replace(key="r", status="running")


@pytest.mark.parametrize(
    ("asked", "going", "stays"),
    [
        ({}, "abcdw", (1, 0, 0)),
        ({"keep": 2}, "abc", (1, 0, 2)),
        ({"keep": 9}, "", (1, 0, 5)),
        ({"where": "network=lenet"}, "ab", (1, 0, 0)),
        ({"where": "network=lenet", "keep": 1}, "a", (1, 0, 1)),
        ({"where": "status=running"}, "", (1, 0, 0)),
        ({"compared": "ad"}, "bcw", (1, 2, 0)),
        ({"compared": "ad", "keep": 1}, "bc", (1, 2, 1)),
        ({"where": "seed=0"}, "bcdw", (0, 0, 0)),
    ],
)
def test_what_runs_is_compared_or_among_the_newest_stays(
    asked: dict[str, object], going: str, stays: tuple[int, ...]
) -> None:
    compared = str(asked.pop("compared", ""))
    found = pruned([RUNNING, *ENTRIES], compared, **asked)  # type: ignore[arg-type]
    assert "".join(one.key for one in found.going) == going
    assert (found.running, found.compared, found.kept) == stays
