from __future__ import annotations

import pytest

from archlab.analysis.roofline import bound_seconds, places, ridge, roof
from tests.profiles import profile

# The machine of `profile` reaches 100 FLOP/s and 10 B/s: the ridge is at 10 FLOP/byte.


def test_the_roof_is_the_lower_of_bandwidth_and_peak() -> None:
    machine = profile().machine
    assert ridge(machine) == 10
    assert [roof(machine, intensity) for intensity in (1, 10, 100)] == [10, 100, 100]


@pytest.mark.parametrize(
    ("flops", "moved", "seconds", "share", "bound"),
    [
        (200, 10, 4.0, 0.5, "arithmetic"),  # 20 FLOP/byte: 2 s of arithmetic, 1 s of memory
        (200, 10, 1.0, 2.0, "arithmetic"),  # an algorithm that multiplies less
        (50, 10, 4.0, 0.25, "memory"),  # 5 FLOP/byte: 0.5 s of arithmetic, 1 s of memory
        (0, 20, 4.0, 0.5, "memory"),
        (0, 20, 1.0, 2.0, "cache"),  # faster than memory is
        (200, 10, 21.0, 2 / 21, "neither"),  # below a tenth of its roof
    ],
)
def test_what_bounds_a_layer(flops: int, moved: int, seconds: float, share: float, bound: str) -> None:
    found = places(profile(layer=(flops, moved, seconds)))[0]
    assert found.share_of_roof == pytest.approx(share)
    assert found.bound == bound
    assert found.flops_per_second == flops / seconds
    assert found.share_of_peak == pytest.approx(flops / seconds / 100)
    assert found.intensity == flops / moved


def test_only_innermost_layers_that_move_something_are_judged() -> None:
    found = profile()
    assert [found.layers[row].path for row in places(found)] == ["conv", "head.linear"]
    assert bound_seconds(found) == {"arithmetic": 4.0, "memory": 3.0, "cache": 0.0, "neither": 0.0}
