from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from archlab.errors import InputError
from archlab.records import Epoch, TrainingConfig
from archlab.training import Execution, estimate, estimate_time, train_all
from archlab.training.preparation import Preparation
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(network=f"{SOURCE}:make_network", batch_size=64, size=8, train_samples=640, test_samples=50)


def test_estimate_grows_with_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_run_seconds", lambda prepared, *_: float(prepared.config.epochs))
    configs = [replace(CONFIG, seed=seed, epochs=epochs) for seed in range(4) for epochs in (10, 2)]
    assert estimate_time(configs, Execution(workers=1, device="cpu")).seconds == 3 + 4 * 10 + 4 * 2
    assert estimate_time(configs, Execution(workers=2, device="cpu")).seconds == 3 + (4 * 10 + 4 * 2) / 2
    assert estimate_time(configs, Execution(workers=8, device="cpu")).seconds == 3 + 10  # no run is split
    assert estimate_time([], Execution(device="cpu")).seconds == 0


def test_networks_alike_are_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[TrainingConfig] = []

    def count(prepared: Preparation, *_: object) -> float:
        timed.append(prepared.config)
        return 1.0

    monkeypatch.setattr(estimate, "_run_seconds", count)
    configs = [replace(CONFIG, seed=seed, options={"norm": norm}) for seed in range(3) for norm in ("batch", "none")]
    estimate_time(configs, Execution(workers=1, device="cpu"))
    assert [config.options["norm"] for config in timed] == ["batch", "none"]


def test_a_variant_that_fails_leaves_the_others_timed() -> None:
    diverging = replace(CONFIG, learning_rate=1e30)
    both = estimate_time([CONFIG, diverging, replace(diverging, seed=1)], Execution(workers=1, device="cpu"))
    assert both.seconds > 3
    assert len(both.failures) == 1  # once per variant
    assert both.failures[0].startswith("diverged: the test loss after epoch 1")
    assert estimate_time([diverging], Execution(device="cpu")).seconds == 3  # no run lasts


def test_a_network_that_fails_when_it_is_tested_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such image")

    monkeypatch.setattr("archlab.training.evaluation.answers", fail)
    with pytest.raises(InputError, match="can't be trained on digits: ZeroDivisionError: no such image"):
        estimate_time([CONFIG], Execution(device="cpu"))


def test_a_network_with_other_classes_is_refused_with_the_option_that_mends_it() -> None:
    config = replace(CONFIG, network=f"{SOURCE}:make_others", options={"num_classes": 3})
    with pytest.raises(InputError, match="given num_classes=3, and the images of digits need num_classes=10"):
        estimate_time([config], Execution(device="cpu"))


def test_real_estimate_is_positive_and_leaves_torch_alone() -> None:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    assert 3 < estimate_time([CONFIG], Execution(device="cpu")).seconds < 600
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_probes_count_as_passes_over_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A millisecond an image: 0.256 s for a step on the images that are probed, half of it for its forward pass."""

    def short(_: Preparation, __: torch.device, size: int, steps: int) -> Epoch:
        return Epoch(1, 1, size * steps / 1000, 0.0, 0.0, 0.0, 0.0)

    def seconds(**probes: int | str) -> float:
        return estimate_time([replace(CONFIG, **probes)], Execution(workers=1, device="cpu")).seconds - plain  # type: ignore[arg-type]

    monkeypatch.setattr(estimate, "_epoch", short)
    plain = estimate_time([CONFIG], Execution(workers=1, device="cpu")).seconds
    assert plain == pytest.approx(3 + 5 * 10 * 0.064)
    # 50 steps: looks at 0, 10, ... 50. Smoothness takes 9 gradients each.
    for probes, steps in {
        "smoothness": 9,
        "signals": 0.5 + 1.4,
        "rank,similarity,signals": 0.5 + 1.4 + 0.3 + 0.3,  # of one forward pass
        "correlation": 1.5,
        "shift": 0.6 * (1 + 2),  # three layers with weights, of which the first has none before it
        "all": 9 + 0.5 + 1.4 + 0.3 + 0.3 + 1.5 + 0.6 * (1 + 2),
    }.items():
        assert seconds(probe_every=10, probes=probes) == pytest.approx(6 * steps * 0.256), probes
    assert seconds(probe_every=10) == pytest.approx(6 * 9 * 0.256)
    # 20 images have 8 lines of 32 points between them, and are one step of an epoch: looks at 0 and 5.
    few = {"train_samples": 20, "batch_size": 20}
    without = estimate_time([replace(CONFIG, **few)], Execution(workers=1, device="cpu")).seconds  # type: ignore[arg-type]
    found = seconds(probe_every=5, probes="correlation", **few)
    assert found + plain - without == pytest.approx(2 * 1.5 * 8 * 32 / 1000)
    assert seconds(landscape=5) == pytest.approx(25 * 0.256 / 2)


def test_wrong_configuration() -> None:
    with pytest.raises(InputError, match="batch_size is 0"):
        estimate_time([replace(CONFIG, batch_size=0)], Execution(device="cpu"))


def test_what_a_run_took_before_is_what_it_will_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHLAB_CACHE", str(tmp_path / "cache"))
    execution = Execution(store=tmp_path / "store", workers=1, device="cpu")
    config = TrainingConfig(epochs=1, train_samples=32, test_samples=16, variant="first")
    (run,) = train_all([config], execution)
    took = run.epochs[0].seconds + run.epochs[0].evaluation_seconds + run.epochs[0].precise_seconds
    timed: list[TrainingConfig] = []

    def seconds(prepared: Preparation, device: object) -> float:
        timed.append(prepared.config)
        return 7.0

    monkeypatch.setattr(estimate, "_run_seconds", seconds)
    others = [replace(config, seed=5, variant="second"), replace(config, batch_size=8)]
    assert list(estimate_time(others, execution).runs) == [pytest.approx(took), 7.0]
    assert [config.batch_size for config in timed] == [8]
    (kept,) = (tmp_path / "cache" / "times").iterdir()
    for damage in (b"", b"x\n1", sha256(b"[]").hexdigest().encode() + b"\n[]"):
        kept.write_bytes(damage)
        assert estimate_time([config], execution).runs == (7.0,)
