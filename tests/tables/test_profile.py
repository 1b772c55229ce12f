from __future__ import annotations

import json
from dataclasses import replace

import pytest

from archlab.records import Profile
from archlab.tables import csv, html, markdown, text
from archlab.tables.profile import profile_table
from archlab.tables.table import duration, prefixed
from tests.profiles import profile


def test_rows_and_rest_sum_to_the_total() -> None:
    lines = text(profile_table(profile())).splitlines()
    assert lines[0] == "net on 1x4, evaluation mode, cpu (a processor, 2 threads)"
    rows = {line.split()[0]: " ".join(line.split()) for line in lines[2:10]}
    assert rows["conv"] == "conv Conv2d 4.00 s 3.60 s 4.40 s 42.1% 50 50.0% 20.0 50.0% arithmetic"
    assert rows["view"] == "view view 500 ms 450 ms 550 ms 5.3%"
    assert rows["head"] == "head Sequential 4.00 s 3.60 s 4.40 s 42.1% 15 15.0%"
    assert rows["rest"] == "rest between the rows 1.00 s 900 ms 1.10 s 10.5%"
    assert rows["sum"] == "sum 9.50 s 100.0%"  # 4 + 0.5 + 4 + 1


def test_what_a_layer_does_between_its_rows_is_a_row_of_its_own() -> None:
    table = profile_table(profile(), None)
    assert [row.cells[0] for row in table.rows] == ["conv", "view", "head", "head.linear", "rest of head", "rest"]
    assert [row.depth for row in table.rows] == [0, 0, 0, 1, 1, 0]
    linear = dict(zip([column.name for column in table.columns], table.rows[3].cells, strict=True))
    assert (linear["flops_per_second"], linear["intensity"], linear["bound"]) == (20.0, 5.0, "memory")
    assert linear["share_of_roof"] == pytest.approx(0.4)  # 12 bytes at 10 B/s, in 3 s


def test_a_backward_pass_has_columns_and_a_sum_of_its_own() -> None:
    table = profile_table(profile(backward=True))
    names = [column.name for column in table.columns]
    assert table.total is not None
    assert dict(zip(names, table.total, strict=True))["backward"] == 19.0  # 8 + 1 + 8 + 2
    assert any("no loss, no optimiser" in sentence for sentence in table.footer)


@pytest.mark.parametrize(("whole", "share", "is_said"), [(9.5, "100.0%", False), (9.0, "105.6%", True)])
def test_the_sum_is_held_against_the_whole_pass(whole: float, share: str, is_said: bool) -> None:
    footer = " ".join(profile_table(profile(whole=whole)).footer)
    assert f"the rows and the rest sum to 9.50 s ({share})" in footer
    assert ("more than 5% apart" in footer) is is_said


@pytest.mark.parametrize(("whole", "is_said"), [(9.5, False), (12.0, True)])
def test_what_a_device_waits_is_named(whole: float, is_said: bool) -> None:
    footer = " ".join(profile_table(replace(profile(whole=whole), queued=True)).footer)
    assert ("In the other 2.50 s the device waits for the processor" in footer) is is_said  # 12 - 9.5
    assert "apart" not in footer


def test_the_sentences_say_what_bounds_the_time() -> None:
    footer = " ".join(profile_table(profile()).footer)
    assert "Medians over n = 7 passes after 2 to warm up" in footer
    assert "Ridge: 10.0 FLOP/byte" in footer
    assert "42.1% are spent in layers bound by arithmetic, 31.6% in layers bound by memory" in footer  # 4, 3 of 9.5
    assert "Slowest: conv 4.00 s, head.linear 3.00 s." in footer
    assert "Above their roof" not in footer
    assert "Above their roof: only." in " ".join(profile_table(profile((200, 10, 1.0))).footer)


def test_every_form_of_it() -> None:
    found = profile(backward=True)
    table = profile_table(found, None)
    assert csv(table).splitlines()[1].startswith("conv,Conv2d,4.0,")
    assert "| head.linear | Linear | 3.00 s |" in markdown(table)
    assert "4.00 s" in html(table)
    assert "4.00 s" in found._repr_html_()
    assert Profile.from_dict(json.loads(found.to_json())) == found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 us"),
        (9.994e-6, "9.99 us"),
        (9.996e-6, "10.0 us"),
        (0.0009996, "1.00 ms"),
        (0.1, "100 ms"),
        (61, "61.0 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(12.0, "12 "), (999.9, "1 k"), (5e9, "5 G"), (1.2345e15, "1.23 P")])
def test_prefixes(value: float, text: str) -> None:
    assert prefixed(value) == text
