"""The colours of variants."""

from __future__ import annotations

import re
from itertools import combinations, product
from pathlib import Path

import pytest

from archlab.records import Value, VariantResult
from archlab.reports import palette
from archlab.reports.charts.normalisation import normalisation_panel
from archlab.reports.resources import light_color, style
from tests.reports.samples import experiment, recording


def variants(*options: dict[str, Value]) -> list[VariantResult]:
    return [VariantResult(f"{place}", {}, chosen) for place, chosen in enumerate(options)]


def lab(color: str) -> tuple[float, float, float]:
    """CIELAB of a colour (CIE 15, section 8.2.1), under D65."""
    linear = []
    for at in (1, 3, 5):
        part = int(color[at : at + 2], 16) / 255
        linear.append(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    red, green, blue = linear
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.95047
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.08883
    fx, fy, fz = (part ** (1 / 3) if part > 216 / 24389 else (24389 / 27 * part + 16) / 116 for part in (x, y, z))
    return 116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param([{"width": number} for number in range(12)], id="twelve of one factor"),
        pytest.param(
            [{"norm": norm, "batch_size": size} for norm, size in product(("batch", "none", "group"), (2, 4, 8, 16))],
            id="three times four",
        ),
        pytest.param(
            [{"depth": depth, "skip": skip} for depth, skip in product((8, 14, 20, 32, 44, 56), ("on", "off"))],
            id="six times two",
        ),
    ],
)
def test_no_two_of_twelve_variants_look_alike(chosen: list[dict[str, Value]], theme: str) -> None:
    places = palette.places(variants(*chosen))
    colors = [lab(palette.color(place, theme)) for place in places.values()]
    assert len(colors) == 12
    # 2.3 is just noticeable (Mahy et al. 1994); three times that is seen across a chart.
    assert min(sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) ** 0.5 for pair in combinations(colors, 2)) > 6.9


def luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2): the Y of CIELAB's L*, turned back."""
    level = (lab(color)[0] + 16) / 116
    return level**3 if level > 6 / 29 else (level - 16 / 116) * 108 / 841


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_running_statistics_have_a_colour_that_is_no_variant_s_and_can_be_read(theme: str) -> None:
    pairs = dict(re.findall(r"--(evaluation|surface|text): (light-dark\([^)]*\))", style()))
    colors = {name: re.findall(r"#[0-9a-f]{6}", pair)[theme == "dark"] for name, pair in pairs.items()}
    others = [palette.color(place, theme) for place in range(palette.HUES)] + [colors["text"]]
    own = lab(colors["evaluation"])
    # 2.3 is just noticeable; those of variants are told apart from each other by 13 (palette.MIXES)
    assert min(sum((a - b) ** 2 for a, b in zip(own, lab(other), strict=True)) ** 0.5 for other in others) > 30
    light, dark = sorted((luminance(colors["evaluation"]), luminance(colors["surface"])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.2, 1.4.3: of text; lines need 3


def test_a_run_s_batchnorm_is_drawn_without_the_colours_of_variants(tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    panel = normalisation_panel({"run": (store.runs()[0], recording(12))}, "norm")
    for chart in panel.charts:
        assert "series-" not in repr([chart.data, chart.layout]), chart.name
    assert "evaluation" in repr([chart.data for chart in panel.charts])


def test_in_a_crossed_design_the_hue_is_one_factor_and_the_shade_the_other() -> None:
    options: list[dict[str, Value]] = [{"lr": lr, "norm": norm} for lr in (0.1, 0.01) for norm in ("batch", "none")]
    crossed = variants(*options)
    places = list(palette.places(crossed).values())
    assert [place % palette.HUES for place in places] == [0, 1, 0, 1]  # the normalisation, not the number
    assert [place // palette.HUES for place in places] == [0, 0, 1, 1]
    assert palette.shared_hue(crossed[::2], palette.places(crossed)) == 0
    assert palette.shared_hue(crossed, palette.places(crossed)) is None


def test_a_network_has_the_colour_of_its_variant() -> None:
    known = variants({"norm": "batch"}, {"norm": "none"})
    assert palette.of_network({"norm": "none", "size": "28"}, known) == 1
    assert palette.of_network({"size": "28"}, known) is None


def test_every_place_is_in_the_style_sheet() -> None:
    found = re.findall(r"--series-(\d+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", style())
    expected = [(str(at), palette.color(at), palette.color(at, "dark")) for at in range(palette.PLACES)]
    assert found == expected
    assert light_color("series-1") == palette.color(1)
