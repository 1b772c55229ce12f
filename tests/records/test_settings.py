"""Settings: what is declared once, and what derives from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.records.settings import divided, keyed, phrases, setting, settings, settled, varying


@dataclass(frozen=True)
class Oven:
    name: str = "no setting"
    degrees: float = setting(180.0, "How hot.", name="heat", above=0, varies=True, phrase="{:g} degrees")
    trays: int = setting(1, "How many.", least=1, varies=True, phrase="{:,d} trays")
    minutes: int | None = setting(None, "How long. Default: until done.", least=1)
    lid: bool = setting(False, "Whether there is one.")
    label: str = setting("", "What it says.")
    steam: int = setting(
        0,
        "How much.",
        holds=lambda value: value % 2 == 0,
        expected="an even number",
        since="2026-11",
        phrase="steam {:d}",
    )


def test_a_setting_knows_its_field_its_type_and_its_default() -> None:
    known = settings(Oven)
    assert list(known) == ["degrees", "trays", "minutes", "lid", "label", "steam"]
    assert [(item.name, item.flag, item.kind, item.optional) for item in known.values()] == [
        ("heat", "--heat", float, False),
        ("trays", "--trays", int, False),
        ("minutes", "--minutes", int, True),
        ("lid", "--lid", bool, False),
        ("label", "--label", str, False),
        ("steam", "--steam", int, False),
    ]
    assert [item.default for item in known.values()] == [180.0, 1, None, False, "", 0]
    assert list(varying(Oven)) == ["heat", "trays"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, ""),
        ({"degrees": 0.5, "trays": 3, "minutes": 1, "steam": 4, "lid": True, "label": "a"}, ""),
        ({"degrees": 0}, "degrees is 0, expected a number above 0"),
        ({"degrees": math.inf}, "degrees is inf, expected a number above 0"),
        ({"degrees": "hot"}, "degrees is 'hot', expected a number above 0"),
        ({"name": "x", "lid": "no"}, "lid is 'no', expected True or False"),
        ({"label": None}, "label is None, expected a text"),
        ({"label": 3}, "label is 3, expected a text"),
        ({"trays": 0}, "trays is 0, expected 1 or more"),
        ({"trays": 1.5}, "trays is 1.5, expected a whole number"),
        ({"trays": True}, "trays is True, expected a whole number"),
        ({"trays": None}, "trays is None, expected a whole number"),
        ({"minutes": 0}, "minutes is 0, expected 1 or more"),
        ({"steam": 3}, "steam is 3, expected an even number"),
    ],
)
def test_bounds_are_held(changes: dict[str, Any], message: str) -> None:
    oven = replace(Oven(), **changes)
    if not message:
        assert settled(oven) is oven
        return
    with pytest.raises(InputError) as caught:
        settled(oven)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("field", "given", "value"),
    [
        ("degrees", "2e2", 200.0),
        ("degrees", np.float32(0.5), 0.5),
        ("trays", "3", 3),
        ("trays", 3.0, 3),
        ("trays", np.int64(2), 2),
        ("minutes", None, None),
    ],
)
def test_texts_and_numbers_of_any_type_are_read(field: str, given: object, value: object) -> None:
    found = settings(Oven)[field].parse(given)
    assert (found, type(found)) == (value, type(value))


def test_a_settled_record_holds_plain_numbers() -> None:
    given: dict[str, Any] = {"degrees": 1, "trays": np.int64(2), "minutes": 3.0}
    oven = settled(replace(Oven(), **given))
    assert [(value, type(value)) for value in (oven.degrees, oven.trays, oven.minutes)] == [
        (1.0, float),
        (2, int),
        (3, int),
    ]
    assert settled(replace(Oven(), trays=2**60 + 1)).trays == 2**60 + 1  # no float in between


def test_several_values_stand_in_one_text() -> None:
    assert settings(Oven)["trays"].parse_several("1, 2") == [1, 2]
    with pytest.raises(InputError, match=r"--trays is '1,0', expected whole numbers above 0: one, or several as A,B"):
        settings(Oven)["trays"].parse_several("1,0")
    with pytest.raises(InputError, match="--steam is '2,3', expected whole numbers, each an even number"):
        settings(Oven)["steam"].parse_several("2,3")


def test_arguments_of_a_call_go_to_the_record_that_has_them() -> None:
    @dataclass
    class Kitchen:
        cook: str = ""

    assert divided({"cook": "me", "trays": 2}, Oven, Kitchen) == [{"trays": 2}, {"cook": "me"}]
    with pytest.raises(InputError, match="there is no setting 'tray': did you mean trays"):
        divided({"tray": 2}, Oven, Kitchen)


def test_titles_say_what_is_there_in_words() -> None:
    assert phrases(Oven, {"trays": 1, "degrees": 0.5}) == ["0.5 degrees", "1 tray"]
    assert phrases(Oven, {"trays": 1_000, "minutes": None}) == ["1,000 trays"]
    assert phrases(Oven, {"steam": 0}) == []  # it came later: its default goes without saying
    assert phrases(Oven, {"steam": 2}) == ["steam 2"]


def test_a_later_setting_changes_no_key_while_it_has_its_default() -> None:
    known = settings(Oven).values()
    assert keyed({"trays": 1, "steam": 0}, known) == {"trays": 1}
    assert keyed({"trays": 1, "steam": 2}, known) == {"trays": 1, "steam": 2}


def test_every_field_of_a_configuration_is_a_setting_but_its_names() -> None:
    undeclared = {item.name for item in fields(TrainingConfig)} - set(settings(TrainingConfig))
    assert undeclared == {"network", "options", "variant"}
