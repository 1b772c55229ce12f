from __future__ import annotations

import pytest

from archlab.records import Profile
from archlab.reports import page
from archlab.reports.charts.roofline import profile_panel
from archlab.reports.material import gather
from archlab.reports.sections import sections
from tests.profiles import profile


def test_a_page_of_a_profile_shows_times_roofline_and_the_network() -> None:
    found = sections(gather([profile(backward=True)]))
    assert [section.anchor for section in found] == ["summary", "profiles", "networks", "reproduction", "glossary"]
    html = page([profile(backward=True)])
    assert "takes <strong>9.50 s</strong> for a forward pass" in html
    assert "bound by memory" in html
    assert "ridge" in html


def test_marks_stand_at_intensity_and_rate_beneath_the_roof() -> None:
    panel = profile_panel(profile(), "roofline")
    assert panel is not None
    chart, slowest = panel.charts
    roof, arithmetic, memory = chart.figure().data
    assert roof.x[1] == 10  # the ridge
    assert roof.y[1:] == (100, 100)
    assert (arithmetic.x, arithmetic.y) == ((20.0,), (50.0,))  # 200 FLOPs, 10 bytes, 4 s
    assert (memory.x, memory.y) == ((5.0,), (20.0,))  # 60 FLOPs, 12 bytes, 3 s
    assert slowest.figure().data[0].x == (3000.0, 4000.0)  # ms, the slowest on top


@pytest.mark.parametrize(
    ("found", "charts"),
    [
        (profile((0, 20, 4.0)), ["slowest"]),
        (profile((0, 0, 1.0)), []),
        (profile(backward=True), ["roofline", "slowest"]),
    ],
)
def test_what_has_nothing_to_show_draws_nothing(found: Profile, charts: list[str]) -> None:
    panel = profile_panel(found, "roofline")
    assert [chart.name for chart in panel.charts] == charts if panel else not charts
