from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest

from archlab.errors import SourceError
from archlab.networks.options import REQUIRED, Option, plain_value, read_signature


def factory(  # type: ignore[no-untyped-def]
    channels: int,
    rate: float = 0.5,
    bias: bool = True,
    name: str = "x",
    blocks: tuple[int, ...] = (1, 2),
    sizes: list[float] | None = None,
    kind: Literal["a", "b"] = "a",
    switch: Literal["on", "off"] = "on",
    limit: int | None = None,
    mixed: int | str = 1,
    anything: Any = None,
    bare=3,
    untyped=None,
) -> None:
    """Nothing.

    Args:
        channels: how many
            there are.
        rate (float): how fast.

    Raises:
        nothing: ever.
    """


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("channels", "3", 3),
        ("channels", 3, 3),
        ("rate", "1e-3", 0.001),
        ("rate", 2, 2.0),
        ("rate", np.float64(0.5), 0.5),
        ("bias", "off", False),
        ("bias", "True", True),
        ("bias", "0", False),
        ("bias", False, False),
        ("name", "3", "3"),
        ("blocks", "3-4-6-3", (3, 4, 6, 3)),
        ("blocks", "3,4", (3, 4)),
        ("blocks", "(3, 4)", (3, 4)),
        ("blocks", "5", (5,)),
        ("blocks", 5, (5,)),
        ("blocks", [3, 4], (3, 4)),
        ("sizes", "0.5,-1", [0.5, -1.0]),
        ("sizes", "none", None),
        ("kind", "b", "b"),
        ("switch", "off", "off"),
        ("switch", False, "off"),
        ("switch", True, "on"),
        ("limit", "none", None),
        ("limit", "12", 12),
        ("limit", None, None),
        ("mixed", "12", 12),
        ("mixed", "twelve", "twelve"),
        ("anything", "[1, 2]", [1, 2]),
        ("anything", "yes", True),
        ("anything", "none", None),
        ("anything", "relu", "relu"),
        ("bare", "4", 4),
        ("untyped", "4.5", 4.5),
    ],
)
def test_values_are_read_as_their_type(name: str, given: object, expected: object) -> None:
    option = read_signature(factory).options[name]
    value = option.convert(given, "it")
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("channels", "three", "an int, given 'three'"),
        ("channels", 2.5, "an int, given 2.5"),
        ("channels", True, "an int, given True"),
        ("rate", "fast", "a float, given 'fast'"),
        ("bias", "maybe", "a bool, given 'maybe'"),
        ("blocks", "3-x", "a list of int, given '3-x'"),
        ("kind", "c", "a or b, given 'c'"),
        ("limit", "many", "an int or none, given 'many'"),
        ("name", 3, "a str, given 3"),
    ],
)
def test_other_values_are_refused(name: str, given: object, expected: str) -> None:
    with pytest.raises(SourceError, match=f"option {name} of it takes {expected}"):
        read_signature(factory).options[name].convert(given, "it")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("channels", "int"),
        ("blocks", "list of int"),
        ("sizes", "list of float or none"),
        ("kind", "a|b"),
        ("limit", "int or none"),
        ("anything", ""),
        ("bare", "int"),
        ("untyped", ""),
    ],
)
def test_types_are_described(name: str, expected: str) -> None:
    assert read_signature(factory).options[name].type == expected


def test_a_signature_tells_defaults_choices_and_meaning() -> None:
    options = read_signature(factory, {"rate": 0.9}).options
    assert options["channels"].default is REQUIRED
    assert options["channels"].help == "how many there are."
    assert options["rate"].default == 0.9
    assert options["rate"].help == "how fast."
    assert options["kind"].choices == ("a", "b")
    assert options["name"].choices == ()
    assert "nothing" not in options


def test_classes_have_the_options_of_their_constructor() -> None:
    class Network:
        def __init__(self, *positional: int, depth: int = 2, **more: int) -> None: ...

    signature = read_signature(Network)
    assert list(signature.options) == ["depth"]
    assert signature.is_open
    assert signature.arguments({"depth": "3", "other": "4", "word": "x"}, "it") == {"depth": 3, "other": 4, "word": "x"}


def test_annotations_that_cannot_be_resolved_are_no_obstacle() -> None:
    def broken(depth: "Missing" = 2) -> None:  # type: ignore[name-defined]  # noqa: F821
        ...

    assert read_signature(broken).arguments({"depth": "3"}, "it") == {"depth": 3}


def test_callables_without_a_signature_take_anything() -> None:
    assert read_signature(type("C", (), {"__call__": dict.fromkeys})).options == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "it needs a value for channels: give it as an option, channels=VALUE"),
        ({"channels": 1, "rat": 1}, "it has no option 'rat': did you mean rate?"),
    ],
)
def test_unknown_and_missing_options_are_refused(given: Mapping[str, object], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_signature(factory).arguments(given, "it")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (3, 3), (0.5, 0.5), ("x", "x"), ((2, 2), "2-2"), ([0.5], "0.5"), (None, "none")],
)
def test_values_are_kept_plainly(value: object, expected: object) -> None:
    assert plain_value(value) == expected


def test_sequences_are_lists() -> None:
    assert Option("sizes", Sequence[int]).convert("1-2", "it") == [1, 2]
