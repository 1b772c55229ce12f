"""Records by their makers are what their classes make."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, dataclass

import pytest

from archlab.records import Layer
from archlab.records.making import maker

ARGUMENTS = ("conv", "Conv2d", 1, ((1, 3, 8, 8),), ((1, 4, 8, 8),))


def test_a_layer() -> None:
    made = maker(Layer)(*ARGUMENTS, macs=7)
    assert type(made) is Layer
    assert made == Layer(*ARGUMENTS, macs=7)
    assert (repr(made), hash(made)) == (repr(Layer(*ARGUMENTS, macs=7)), hash(Layer(*ARGUMENTS, macs=7)))
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(FrozenInstanceError):
        made.macs = 8  # type: ignore[misc]


def test_a_field_that_is_missing() -> None:
    with pytest.raises(TypeError, match="output_shapes"):
        maker(Layer)(*ARGUMENTS[:4])  # type: ignore[call-arg]


def test_a_class_that_does_more() -> None:
    @dataclass(frozen=True, slots=True)
    class Checked:
        number: int

        def __post_init__(self) -> None:
            assert self.number

    @dataclass(frozen=True)
    class Open:
        number: int

    for kind in (Checked, Open):
        with pytest.raises(TypeError, match=kind.__name__):
            maker(kind)
