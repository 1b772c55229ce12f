from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.check import check
from archlab.records import Check, Trace
from tests.traces import block, layer, trace

NETWORK = trace(*block("stem"), layer("head", parameters=28, macs=36))  # 72 + 28 = 100 parameters, 64 + 36 = 100 MACs


def found(verdict: Check) -> list[tuple[str, bool, str]]:
    return [(finding.subject, finding.passed, finding.text) for finding in verdict.findings]


@pytest.mark.parametrize(
    ("limit", "passed", "text"),
    [
        (120, True, "100 parameters, 20 under the limit of 120"),
        (100, True, "100 parameters, at the limit of 100"),
        (99, False, "100 parameters, 1 over the limit of 99"),
        (0, False, "100 parameters, 100 over the limit of 0"),
    ],
)
def test_parameters_are_held_to_a_limit(limit: int, passed: bool, text: str) -> None:
    verdict = check(NETWORK, max_parameters=limit)
    assert found(verdict) == [("parameters", passed, text)]
    assert verdict.passed is passed
    assert (verdict.findings[0].found, verdict.findings[0].limit) == (100, limit)


def test_macs_that_are_a_lower_bound_cannot_keep_a_limit() -> None:
    open_ended = replace(NETWORK, totals=replace(NETWORK.totals, uncounted_operations={"fft": 1}))
    assert found(check(open_ended, max_macs=200)) == [
        ("macs", False, "at least 100 MACs, 100 under the limit of 200, but the cost of fft is not known")
    ]
    assert found(check(open_ended, max_macs=50)) == [("macs", False, "100 MACs, 50 over the limit of 50")]


def test_an_equal_trace_passes() -> None:
    assert found(check(NETWORK, NETWORK)) == [("layers", True, "4 layers, equal to the trace that was kept")]


def test_what_differs_is_named_with_the_amount_and_without_the_layers_that_only_hold_it() -> None:
    kept = trace(*block("stem", 90), layer("head", parameters=28, macs=36))
    verdict = check(NETWORK, kept)
    assert found(verdict) == [
        ("parameters", False, "100 in all, 118 kept (-18)"),  # 90 + 28 = 118
        ("macs", True, "100 in all, 100 kept"),
        ("stem.fc", False, "changed: parameters 90 -> 72 (-18)"),
    ]
    assert not verdict.passed


@pytest.mark.parametrize(
    ("kept", "text"),
    [
        (trace(layer("head", parameters=28, macs=36)), "added: Block, 72 parameters, 64 MACs"),
        (trace(*NETWORK.layers, layer("tail")), "removed: Linear, 0 parameters, 0 MACs"),
        (trace(*block("trunk"), NETWORK.layers[-1]), "renamed: was trunk"),
        (
            trace(*NETWORK.layers[:-1], layer("head", "Conv1d", parameters=28, macs=36, output_shapes=((1, 4),))),
            "changed: kind Conv1d -> Linear, output shapes 1x4 -> 1x8",
        ),
        (
            trace(*NETWORK.layers[:-1], layer("head", parameters=28, macs=36, dtype="float16")),
            "changed: dtype float16 -> none",
        ),
    ],
)
def test_differences_in_words(kept: Trace, text: str) -> None:
    assert text in [finding.text for finding in check(NETWORK, kept).findings]


def test_an_added_block_is_one_finding() -> None:
    verdict = check(NETWORK, trace(NETWORK.layers[-1]))
    assert [finding.subject for finding in verdict.findings] == ["parameters", "macs", "stem"]


def test_json() -> None:
    verdict = check(NETWORK, max_parameters=99)
    assert Check.from_json(verdict.to_json()) == verdict
