"""The doctor's page: findings first, each with the picture that shows it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.verdicts.health import judged
from archlab.records import NormHealth
from archlab.reports import page
from archlab.reports.charts.health import PICTURES, finding_panel, layers_panel
from archlab.reports.material import gather
from archlab.reports.sections import sections
from tests.analysis.verdicts.test_health import CHANNELS, VARIANCES, health


def sick() -> NormHealth:
    """Running variances in which 70 % of the start is left, and two channels that are always off."""
    mixed = tuple(0.7 + 0.3 * variance for variance in VARIANCES)
    found = health(
        (0.3, 0.9, 0.9), agreement=0.3, running_var=mixed, activation="relu", zeros=(1.0, 1.0, *(0.5,) * (CHANNELS - 2))
    )
    return replace(found, verdicts=judged(found))


def test_the_page_opens_with_the_findings_and_has_a_part_for_each() -> None:
    first, *others = sections(gather([sick()]))
    assert first.title == "BatchNorm of net"
    assert [section.anchor for section in others] == ["reproduction", "glossary"]
    titles = [part.title for part in first.parts]
    assert titles == ["Running statistics, norm", "Initial values, norm", "Always off, norm", "Layers"]
    assert all(part.panels for part in first.parts)
    html = page([sick()])
    assert html.index("Running statistics cost 60.00 points of accuracy") < html.index(
        "Initial values, norm</bdi></h3>"
    )


def test_a_healthy_network_has_a_page_without_findings() -> None:
    found = health()
    (first, *_) = sections(gather([replace(found, verdicts=judged(found))]))
    assert [part.title for part in first.parts] == ["Layers"]
    assert "Nothing wrong was found." in first.body


@pytest.mark.parametrize("check", [*PICTURES, "unknown"])
def test_every_picture_can_be_drawn_or_is_left_out(check: str) -> None:
    panel = finding_panel(sick(), check, "norm", "finding")
    for chart in panel.charts if panel else ():
        assert chart.figure().data
    assert (panel is None) is (check in ("unknown",))


def test_the_answers_stand_beside_each_other() -> None:
    panel = finding_panel(sick(), "running-statistics", "norm", "finding")
    assert panel is not None
    bar = panel.charts[0].figure().data[0]
    assert bar.x == (0.3, 0.9, 0.9)
    assert bar.y == ("evaluation (running statistics)", "precise statistics", "batch statistics")


def test_a_reader_chooses_the_layer() -> None:
    found = sick()
    other = replace(found.layers[0], path="other", running_mean=(0.0,) * CHANNELS)
    panel = layers_panel(replace(found, layers=(found.layers[0], other)), "layers")
    (means,) = [chart for chart in panel.charts if chart.name == "means"]
    drawn = {layer: means.figure(layer=layer).data[1].y for layer in ("norm", "other")}
    assert drawn == {"norm": (0.5,) * CHANNELS, "other": (0.0,) * CHANNELS}
