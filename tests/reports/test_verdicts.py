"""The section of verdicts, and the worst of them in the summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archlab.analysis.comparison import summarise
from archlab.records import Run
from archlab.reports import page
from archlab.store import Store, open_store
from tests.analysis.recordings import Trained, healthy
from tests.reports.samples import ENVIRONMENT
from tests.reports.test_page import HOSTILE, Reader, skeleton


def stored(store: Store, trained: Trained) -> Run:
    run = trained.run
    with store.writer(run.config, ENVIRONMENT) as writer:
        if run.status == "failed":
            return writer.fail(run.error, {})
        for epoch in run.epochs:
            writer.append(epoch)
        losses = trained.losses
        curves = {"step": np.arange(1, len(losses) + 1), "train_loss": losses, "train_accuracy": np.exp(-losses)}
        return writer.finish(curves, trained.recording)


def shown(path: Path, *many: Trained) -> str:
    store = open_store(path)
    runs = [stored(store, one) for one in many]
    return page([summarise(runs)], store=store)


def verdicts_of(text: str) -> str:
    """The words of the section, from its heading on."""
    words = Reader(text).text.replace("\u00a0", " ")
    return words[words.rindex(" Verdicts ") : words.rindex("Reproduction")]


def test_a_problem_stands_first_with_what_to_do_and_is_linked_from_the_summary(tmp_path: Path) -> None:
    text = shown(tmp_path, healthy(0, noise=3**-0.5), healthy(1, noise=3**-0.5))
    words = verdicts_of(text)
    assert words.index("Problems (1)") < words.index("Problem: batch noise") < words.index("What to do: Use batches")
    assert words.index("What to do:") < words.index("Wu and He, Group Normalization") < words.index("in order (2)")
    assert "Warnings" not in words
    reader = Reader(text)
    assert {"href": "#lenet-on-digits-verdicts"} in [attributes for tag, attributes in reader.tags if tag == "a"]
    summary = reader.text[: reader.text.index("What was run")]
    assert "1 problem : Problem: batch noise norm=batch" in summary


def test_healthy_runs_have_nothing_in_the_summary(tmp_path: Path) -> None:
    text = shown(tmp_path, *(healthy(seed) for seed in range(6)))
    assert "Looked at, and in order (4)" in verdicts_of(text)
    summary = Reader(text).text.split("What was run")[0]
    assert "problem" not in summary
    assert "Warning:" not in summary


def test_a_run_that_failed_before_its_first_epoch_is_told(tmp_path: Path) -> None:
    failed = healthy(1).at("failed", "diverged: the loss at step 3 is nan")
    words = verdicts_of(shown(tmp_path, healthy(0), failed))
    assert "1 of 2 runs failed: diverged: the loss at step 3 is nan." in words
    assert "can't be found" not in words


def test_a_run_that_is_gone_is_missing(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    runs = [stored(store, healthy(seed)) for seed in range(3)]
    comparison = summarise(runs)
    store.delete(runs[1].key)
    assert "1 of 3 runs can't be found" in verdicts_of(page([comparison], store=store))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_layer_or_reason_changes_nothing(name: str, tmp_path: Path) -> None:
    texts = []
    for place, used in enumerate(("harmless", name)):
        noisy = healthy(0, used, noise=3**-0.5)
        assert noisy.recording is not None
        recording = replace(
            noisy.recording,
            layers={used: noisy.recording.layers["head.norm"]},
            population={used: noisy.recording.population["head.norm"]},
        )
        failed = healthy(1, used).at("failed", used)
        texts.append(shown(tmp_path / str(place), replace(noisy, recording=recording), failed))
    assert skeleton(texts[0]) == skeleton(texts[1])
    assert "Problem: batch noise" in Reader(texts[1]).text
