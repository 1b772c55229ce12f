"""The live page: who may see it, what it shows of a store, and that it tells what is new."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from archlab.analysis.wording import spoken_time
from archlab.errors import InputError
from archlab.records import Epoch, LayerSeries, Probes, Smoothness, TrainingConfig
from archlab.reports.live import Live, connections, page
from archlab.reports.live.access import Address, keep_address, last_address
from archlab.reports.live.board import board as board_of
from archlab.reports.live.board import planned
from archlab.reports.live.server import events
from archlab.reports.live.watching import BOARDS_PER_PAGE, Shown, Watch
from archlab.reports.panel import evaluate
from archlab.store import RunFolder, Store, open_store
from archlab.store.run_writer import RunWriter
from tests.reports.samples import add_run, experiment, recording
from tests.reports.test_page import HOSTILE

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'archlab[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'archlab[serve]'")

PLAN = [
    TrainingConfig(variant=variant, seed=seed, epochs=3) for seed in (0, 1) for variant in ("norm=batch", "norm=none")
]


def epoch(number: int, accuracy: float = 0.5) -> Epoch:
    return Epoch(number, 6 * number, 0.5 * number, 2.0 / number, accuracy, 2.1 / number, accuracy)


def started(store: Store, config: TrainingConfig, epochs: int = 0) -> RunWriter:
    """A run that is being written, by this process."""
    writer = store.writer(config, {}, 100)
    for number in range(1, epochs + 1):
        writer.append(epoch(number))
    return writer


def steps(number: int, start: int = 0) -> dict[str, Any]:
    """The curves of some steps as a writer takes them."""
    at = np.arange(start + 1, start + number + 1, dtype=np.float32)
    return {"train_loss": 2 / at, "train_accuracy": 1 - 1 / at}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def live(store: Store) -> Iterator[Live]:
    with Live(store, plan=PLAN, port=0) as running:
        yield running


def get(live: Live, path: str = "", **headers: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{live.address.port}/{path}", headers=headers, trust_env=False, timeout=60)


# Who may see it


@pytest.mark.parametrize("path", ["", "events", "x/", "x/events", "favicon.ico", "%00/", "caf%C3%A9/", "../etc/passwd"])
def test_without_the_token_there_is_nothing(live: Live, path: str) -> None:
    answer = get(live, path)
    assert answer.status_code == 404
    assert "lenet" not in answer.text
    assert live.address.token not in answer.text


@pytest.mark.parametrize("cut", [slice(0, -1), slice(1, None)])
def test_a_part_of_the_token_is_not_enough(live: Live, cut: slice) -> None:
    assert get(live, f"{live.address.token[cut]}/").status_code == 404


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("localhost:9999", 200),  # through a tunnel
        ("evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("evil.example:{port}", 400),
        ("www.localhost", 400),
    ],
)
def test_a_stranger_s_name_for_this_machine_is_refused(live: Live, host: str, code: int) -> None:
    answer = get(live, f"{live.address.token}/", host=host.format(port=live.address.port))
    assert answer.status_code == code


def test_it_listens_on_this_machine_alone(live: Live) -> None:
    assert live._socket.getsockname()[0] == "127.0.0.1"


def test_the_page_may_ask_its_own_server_and_nobody_else(live: Live) -> None:
    answer = get(live, f"{live.address.token}/")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert policy.endswith("connect-src 'self'; frame-ancestors 'none'")
    assert "unsafe-inline" not in policy.split("style-src-attr")[0]
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_only_reading_is_possible(live: Live) -> None:
    url = f"{live.url}"
    for method in ("POST", "PUT", "DELETE"):
        assert httpx.request(method, url, trust_env=False, timeout=60).status_code == 405


# The address


def test_the_address_outlives_the_server_in_a_file_of_this_user_alone(store: Store) -> None:
    with Live(store, port=0) as first:
        pass
    assert stat.S_IMODE(store.address_path.stat().st_mode) == 0o600
    with Live(store) as second:
        assert second.url == first.url


@pytest.mark.parametrize("mode", [0o644, 0o660])
def test_an_address_that_others_can_read_is_not_used_again(store: Store, mode: int) -> None:
    keep_address(store.address_path, Address("t" * 32, 1234))
    assert last_address(store.address_path) == Address("t" * 32, 1234)
    store.address_path.chmod(mode)
    assert last_address(store.address_path).token != "t" * 32


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"token": 3}', "\x00"])
def test_a_broken_address_is_replaced(store: Store, content: str) -> None:
    store.path.mkdir()
    store.address_path.write_text(content)
    store.address_path.chmod(0o600)
    assert last_address(store.address_path).port == 0


def test_a_link_in_the_place_of_the_address_is_not_followed(store: Store, tmp_path: Path) -> None:
    keep_address(open_store(tmp_path).address_path, Address("t" * 32, 1234))
    store.path.mkdir()
    store.address_path.symlink_to(open_store(tmp_path).address_path)
    assert last_address(store.address_path).token != "t" * 32


def test_a_store_that_cannot_be_written_is_served_nonetheless(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add_run(store, "norm=batch", 0)

    def refuse(*_: Any) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    keep_address(store.address_path, Address("t" * 32, 1))
    assert not store.address_path.exists()


@pytest.fixture
def crowded(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    """A server that has room for ten strangers, each for a second."""
    monkeypatch.setattr(connections, "MOST_STRANGERS", 10)
    monkeypatch.setattr(connections, "STRANGER_SECONDS", 1.0)
    with Live(store) as server:
        yield server


HALVES = (b"", b"GET / HTT", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", b"\x16\x03\x01 no words of HTTP\r\n\r\n",
          b"POST /x HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999\r\n\r\nand then nothing")  # fmt: skip


@pytest.mark.parametrize("sent", HALVES)
def test_strangers_that_hold_connections_keep_nobody_out(
    sent: bytes, crowded: Live, capfd: pytest.CaptureFixture[str]
) -> None:
    held = []
    for _ in range(40):
        stranger = socket.create_connection(("127.0.0.1", crowded.address.port), timeout=5)
        stranger.sendall(sent)
        held.append(stranger)
    assert httpx.get(crowded.url).status_code == 200
    for stranger in held:  # all are ended: the oldest by the others, the rest after a second
        with contextlib.suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass
        stranger.close()
    assert httpx.get(crowded.url).status_code == 200
    assert capfd.readouterr() == ("", "")


def test_the_owner_s_connections_stay(crowded: Live) -> None:
    with httpx.Client() as client, client.stream("GET", f"{crowded.url}events") as stream:
        for _ in range(30):
            socket.create_connection(("127.0.0.1", crowded.address.port)).close()
        time.sleep(1.2)
        assert next(stream.iter_lines()).startswith("event:")


def test_a_taken_port_is_said(live: Live, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"port {live.address.port} of 127.0.0.1 can't be used: choose another"):
        Live(open_store(tmp_path / "other"), port=live.address.port)


def test_two_stores_get_two_ports(live: Live, tmp_path: Path) -> None:
    other = tmp_path / "other"
    keep_address(open_store(other).address_path, Address("t" * 32, live.address.port))
    with Live(open_store(other)) as second:
        assert second.address.port != live.address.port


@pytest.mark.parametrize("token", ["", "short", "with/a/slash/in/the/middle", "with space and more text"])
def test_a_token_that_is_none_is_refused(store: Store, token: str) -> None:
    with pytest.raises(InputError, match="expected 16 or more letters, digits, - or _"):
        Live(store, port=0, token=token)


# What it shows


def test_a_plan_shows_runs_that_wait_go_and_died(store: Store) -> None:
    watch = Watch(store, PLAN)
    add_run(store, "norm=batch", 7)  # another experiment's
    with store.writer(PLAN[0], {}) as writer:
        for number in (1, 2, 3):
            writer.append(epoch(number, 0.8))
        writer.finish({})
    with started(store, PLAN[1], 1) as failing:
        failing.diverge("the loss at step 8 is nan", {})
    with started(store, PLAN[2], 2):
        pass  # its process is killed here
    with started(store, PLAN[3], 1):
        (board,) = watch.shown().boards
    assert [(line.variant, line.seed, line.state, line.done) for line in board.rows] == [
        ("norm=batch", 0, "finished", 3),
        ("norm=none", 0, "diverged", 1),
        ("norm=batch", 1, "interrupted", 2),
        ("norm=none", 1, "running", 1),
    ]
    assert board.rows[1].error == "the loss at step 8 is nan"
    assert board.rows[2].error == "its process is gone"
    assert board.ended == 3
    assert board.share == pytest.approx((1 + 1 / 3) / 2)  # the two that have not broken off
    assert [(one.variant, one.finished, one.diverged, one.runs, one.mean, one.basis) for one in board.standings] == [
        ("norm=batch", 1, 0, 2, "80.00 %", "n = 1"),
        ("norm=none", 0, 1, 2, "", ""),
    ]
    assert "1 diverged" in json.loads(page.message(board))["standing"]


def test_time_left_is_that_of_the_runs_pace(store: Store) -> None:
    with store.writer(PLAN[0], {}) as writer:
        for number in (1, 2, 3):
            writer.append(epoch(number, 0.8))
        ended = writer.finish({})
    with started(store, PLAN[2], 1):
        (group,) = [planned(PLAN, store.runs())]
        begun = next(run for _, run in group.members if run is not None and run.status == "running")
        # One of three epochs after 60 seconds: two more take 120.
        now = datetime.fromisoformat(begun.created) + timedelta(seconds=60)
        shown = board_of(group, lambda run: None, now=now)
    rows = {(row.variant, row.seed): row.left for row in shown.rows}
    assert rows["norm=batch", 1] == "2 minutes left"
    assert rows["norm=none", 0] == rows["norm=none", 1] == rows["norm=batch", 0] == ""
    # The two that wait take as long as the median of 180 s and the finished one's time, and one runs at a time.
    seconds = ended.epochs[-1].seconds
    assert shown.left == f"about {spoken_time(120 + 2 * (180 + seconds) / 2)} left"
    assert board_of(group, lambda run: None).rows  # and at any other time


def test_batchnorm_is_shown_as_it_goes(store: Store) -> None:
    watch = Watch(store, PLAN)
    with started(store, PLAN[0], 2) as writer:
        writer.keep_recording(recording(12, epochs=2))
        writer.append_steps(steps(1))
        (shown,) = watch.shown().boards
    (chart,) = next(panel for panel in shown.panels if panel.name == "experiment-norms").charts
    traces = evaluate(chart.data, {})
    assert [(trace["name"], len(trace["y"])) for trace in traces] == [
        ("norm=batch, mean", 2),
        ("norm=batch, variance", 2),
    ]
    assert "norm=batch, seed 0" in chart.description


def test_a_plan_shows_its_runs_before_the_first_has_started(store: Store) -> None:
    (board,) = Watch(store, PLAN).shown().boards
    assert {line.state for line in board.rows} == {"waiting"}
    assert list(json.loads(page.message(board))["panels"]) == ["experiment-training"]


def test_a_mean_has_its_interval_within_what_there_can_be(store: Store) -> None:
    for seed in (0, 1, 2):
        with store.writer(replace(PLAN[0], seed=seed), {}) as writer:
            writer.append(epoch(1, 0.99 - 0.04 * seed))
            writer.finish({})
    (board,) = Watch(store).shown().boards
    # t of 2 degrees is 4.303: 0.95 +- 4.303 * 0.04 / sqrt(3) = 0.95 +- 0.0994
    assert (board.standings[0].mean, board.standings[0].basis) == ("95.00 %", "85.06 to 100.00, n = 3")


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ({"variant": "norm=batch"}, {"variant": "norm=none"}, True),
        (
            {"variant": "norm=batch", "options": {"norm": "batch"}},
            {"variant": "norm=none", "options": {"norm": "none"}},
            True,
        ),
        ({"variant": "lr=0.1", "learning_rate": 0.1}, {"variant": "lr=0.2", "learning_rate": 0.2}, True),
        ({"variant": "epochs=2", "epochs": 2}, {"variant": "epochs=4", "epochs": 4}, True),
        ({"variant": "norm=batch"}, {"variant": "skip=on"}, False),
        ({"variant": "norm=batch"}, {"variant": "norm=batch", "epochs": 9}, False),
        ({"variant": "norm=batch"}, {"variant": "norm=none", "options": {"width": 3}}, False),
        ({}, {"network": "densenet"}, False),
    ],
)
def test_runs_belong_together_by_what_they_share(
    store: Store, first: dict[str, Any], second: dict[str, Any], together: bool
) -> None:
    for config in (first, second):
        with started(store, TrainingConfig(**config), 1) as writer:
            writer.finish({})
    assert len(Watch(store).shown().boards) == (1 if together else 2)


def test_anchors_differ_and_stay(store: Store) -> None:
    anchors: list[str] = []
    for epochs in (1, 2, 3):
        with started(store, TrainingConfig(epochs=epochs), 1) as writer:
            writer.finish({})
        found = [board.anchor for board in Watch(store).shown().boards]
        assert set(anchors) < set(found)
        assert all(anchor.startswith("lenet-digits-") for anchor in found)
        anchors = found
    briefs = {board.brief for board in Watch(store).shown().boards}
    assert briefs == {f"{epochs}, batch 16, learning rate 0.001" for epochs in ("1 epoch", "2 epochs", "3 epochs")}
    assert len(anchors) == 3


def test_a_store_is_read_anew_only_when_something_has_changed(store: Store) -> None:
    watch = Watch(store)
    assert watch.shown().boards == []
    with started(store, PLAN[0]) as writer:
        (first,) = watch.shown().boards
        assert watch.shown().boards[0] is first
        with started(store, TrainingConfig("densenet")):
            assert [board is first for board in watch.shown().boards] == [False, True]
        writer.append_steps(steps(4))
        assert watch.shown().boards[1].rows[0].step == 4
        writer.append(epoch(1))
        assert watch.shown().boards[1].rows[0].done == 1
    assert watch.shown().boards[1].rows[0].state == "interrupted"  # no file has changed, but the lock is gone


@pytest.mark.parametrize(("fresh", "states"), [(False, ["finished", "waiting"]), (True, ["waiting", "waiting"])])
def test_a_plan_shows_nothing_of_before_that_is_trained_again(store: Store, fresh: bool, states: list[str]) -> None:
    plan = [PLAN[0], PLAN[1]]
    for config in plan:
        with started(store, config, 3) as writer:
            if config is PLAN[0]:
                writer.finish({})  # the other one was interrupted
    watch = Watch(store, plan, fresh)
    assert [line.state for line in watch.shown().boards[0].rows] == states
    for config in plan:
        with started(store, config, 1) as writer:
            (board,) = watch.shown().boards
            line = board.rows[plan.index(config)]
            assert (line.state, line.done) == ("running", 1)
            writer.finish({})
    assert [(line.state, line.done) for line in watch.shown().boards[0].rows] == [("finished", 1)] * 2


def test_a_run_that_is_trained_again_is_shown_as_it_goes(store: Store) -> None:
    with started(store, PLAN[0], 3) as writer:
        writer.finish({})
    watch = Watch(store)
    with started(store, PLAN[0], 1):
        (line,) = watch.shown().boards[0].rows
        assert (line.state, line.done) == ("running", 1)
    (line,) = watch.shown().boards[0].rows  # the process is gone: what was finished before stays
    assert (line.state, line.done) == ("finished", 3)


def test_curves_are_there_by_step_before_the_first_epoch_has_ended(store: Store) -> None:
    watch = Watch(store)
    with started(store, PLAN[0]) as writer:
        writer.append_steps(steps(4))
        message = json.loads(page.message(watch.shown().boards[0]))
        curve = next(iter(message["panels"].values()))["charts"]["train-loss"]["data"]
        assert message["pool"][curve[0]["y"]["$smooth"]["$ref"]] == [2, 1, 0.6666667, 0.5]
        writer.append_steps(steps(8, start=4))
        writer.append(epoch(1))  # which has 6 steps, so that the second has all of its own
        writer.append(epoch(2))
        writer.append_steps(steps(3, start=12))
        (line,) = watch.shown().boards[0].rows
        assert (line.step, line.done) == (15, 2)
        assert line.share == pytest.approx(15 / 18)


def test_every_curve_is_known_by_a_name_of_its_own(store: Store) -> None:
    """Also where long names of variants are shortened to the same."""
    many = ", ".join(f"option_{number}=some_value" for number in range(4))
    for norm in ("batch", "group"):
        for seed in (0, 1):
            config = TrainingConfig(variant=f"{many}, norm={norm}, {many}", seed=seed)
            with started(store, config, 2) as writer:
                writer.append_steps(steps(12))
                writer.finish(steps(12) | {"step": np.arange(1, 13)})
    (board,) = Watch(store).shown().boards
    for chart in board.panels[0].charts:
        identities = [trace["uid"] for trace in chart.data]  # type: ignore[union-attr]
        assert len(identities) > 4
        assert len(set(identities)) == len(identities)


def signals(*gradients: float, steps: tuple[int, ...] = (0,), names: tuple[str, ...] = ("conv", "act", "head")) -> Any:
    """Signals whose newest look found these gradient norms, 1 at earlier ones; `act` has no weights."""
    values = {name: np.ones((len(steps), len(names)), dtype=np.float32) for name in Probes.SIGNALS}
    values["gradient_norm"][-1] = gradients
    values["weight_norm"][:, [name == "act" for name in names]] = np.nan
    values["update_ratio"][0] = np.nan
    return LayerSeries(steps, names, values, 256, weighted=~np.isnan(values["weight_norm"][0]))


def smoothness(*steps: int) -> Smoothness:
    """Of a loss whose effective beta is 8 / (1 * 2) = 4 at every step."""
    ones = np.ones(len(steps), dtype=np.float32)
    return Smoothness(steps, np.ones(1, dtype=np.float32), ones, 2 * ones, ones[:, None], 8 * ones[:, None], 256)


PROBED = [replace(config, probe_every=6, probes="signals,smoothness") for config in PLAN]


def test_probes_are_shown_from_the_first_look_on(store: Store) -> None:
    watch = Watch(store, PROBED)
    with started(store, PROBED[0]) as first, started(store, PROBED[1]) as second, started(store, PROBED[2]) as later:
        assert len(watch.shown().boards[0].panels) == 1
        later.keep_probes(Probes(signals=signals(9, 9, 9)))
        first.keep_probes(Probes(signals=signals(4, 3, 2), smoothness=smoothness(0)))
        # A variant may have other layers.
        second.keep_probes(Probes(signals=signals(7, 6, 5, names=("conv", "norm", "head"), steps=(0, 6))))
        for writer in (first, second, later):
            writer.append_steps(steps(1))
        (board,) = watch.shown().boards
        depth, heat, beta = board.panels[1].charts
        assert (depth.name, heat.name, beta.name) == ("depth", "heat", "beta")
        (seen,) = evaluate(heat.data, {"quantity": "gradient_norm", "variant": "norm=none"})
        # a row per layer with weights, in the order of both variants; a column per look, as a logarithm
        assert (seen["x"], seen["y"]) == ([0, 6], ["conv", "norm", "head"])
        np.testing.assert_allclose(seen["customdata"], [[1, 7], [1, 6], [1, 5]])
        np.testing.assert_allclose(seen["z"], np.log10([[1, 7], [1, 6], [1, 5]]), atol=1e-6)
        (other,) = evaluate(heat.data, {"quantity": "gradient_norm", "variant": "norm=batch"})
        np.testing.assert_allclose(other["customdata"], [[4, np.nan], [np.nan, np.nan], [2, np.nan]])
        assert (seen["zmin"], seen["zmax"]) == (other["zmin"], other["zmax"]) == (0, pytest.approx(np.log10(7)))
        (choice,) = (control for control in board.panels[1].controls if control.name == "variant")
        assert [name for name, _ in choice.options] == ["norm=batch", "norm=none"]
        drawn = [evaluate(trace, depth.state) for trace in depth.data]  # type: ignore[union-attr]
        # Of norm=batch, the first seed; its layers with weights. Where a variant has no such layer, nothing.
        assert [trace["name"] for trace in drawn] == ["norm=batch, step 0", "norm=none, step 6"]
        assert [trace["x"] for trace in drawn] == [["conv", "norm", "head"]] * 2
        np.testing.assert_equal([trace["y"] for trace in drawn], [[4, np.nan, 2], [7, 6, 5]])
        assert "Drawn: norm=batch, step 0 of seed 0; norm=none, step 6 of seed 0." in depth.description
        assert [list(trace["y"]) for trace in beta.data] == [[4]]  # type: ignore[union-attr]
        message = json.loads(page.message(board))["panels"]
        assert {name: list(panel["charts"]) for name, panel in message.items()} == {
            "experiment-training": ["train-loss", "train-accuracy", "test-loss", "test-accuracy"],
            "experiment-probes": ["depth", "heat", "beta"],
        }

        first.keep_probes(Probes(signals=signals(40, 30, 20, steps=(0, 6)), smoothness=smoothness(0, 6)))
        first.append_steps(steps(5, start=1))
        (board,) = watch.shown().boards
        trace = evaluate(board.panels[1].charts[0].data, depth.state)[0]
        assert (trace["name"], list(trace["y"])[::2]) == ("norm=batch, step 6", [40, 20])
        uids = [[one["uid"] for one in chart.data] for chart in (depth, board.panels[1].charts[0])]  # type: ignore[union-attr]
        assert uids[0] == uids[1], "a line is the same one at the next look"
        assert uids[0][0] != uids[0][1]
        first.append(epoch(1))
        first.finish({}, None, Probes(smoothness=smoothness(0, 6)))
    (board,) = watch.shown().boards  # it has ended, and holds no signals: its other seed is drawn
    depth, _, beta = board.panels[1].charts
    assert [evaluate(trace, depth.state)["name"] for trace in depth.data] == [  # type: ignore[union-attr]
        "norm=batch, step 0",
        "norm=none, step 6",
    ]
    assert "norm=batch, step 0 of seed 1" in depth.description


def test_probes_are_read_once_per_change(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    read = RunFolder.probes

    def count(folder: RunFolder, *kinds: str) -> Probes | None:
        asked.append(kinds)
        return read(folder, *kinds)

    monkeypatch.setattr(RunFolder, "probes", count)
    watch = Watch(store, PROBED[:2])
    with started(store, PROBED[0]) as writer, started(store, PROBED[1]) as other:
        writer.keep_probes(Probes(signals=signals(4, 3, 2)))
        for number in range(2):
            writer.append_steps(steps(1, start=number))
            for _ in range(3):
                watch.shown()
        other.append(epoch(1))
        watch.shown()
    # Both runs; then the one that went on; then the other.
    assert asked == [("signals", "smoothness")] * 4


def test_runs_that_are_not_probed_are_not_asked_for_probes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunFolder, "probes", None)
    add_run(store, "norm=batch", 0)
    (board,) = Watch(store).shown().boards
    assert [panel.name.rpartition("-")[2] for panel in board.panels] == ["training", "norms"]


def test_many_experiments_stand_on_several_pages(store: Store) -> None:
    for number in range(BOARDS_PER_PAGE + 2):
        with started(store, TrainingConfig(epochs=number + 1), 1) as writer:
            writer.finish({})
    watch = Watch(store)
    first, second = watch.shown(), watch.shown(2)
    assert (len(first.boards), len(second.boards), first.total, first.pages) == (
        BOARDS_PER_PAGE,
        2,
        BOARDS_PER_PAGE + 2,
        2,
    )
    assert not {board.anchor for board in first.boards} & {board.anchor for board in second.boards}
    assert watch.shown(99) == second  # after experiments were deleted
    assert f"Experiments 1 to {BOARDS_PER_PAGE} of {BOARDS_PER_PAGE + 2}, the newest first" in page.html(first, "")
    assert '<a href="?page=2" rel="next">Older</a>' in page.html(first, "")
    html = page.html(second, "")
    assert f"Experiments {BOARDS_PER_PAGE + 1} to {BOARDS_PER_PAGE + 2} of {BOARDS_PER_PAGE + 2}" in html
    assert '<a href="?page=1" rel="prev">Newer</a>' in html
    assert "Older" not in html


@pytest.mark.parametrize(
    ("query", "first"), [("", 1), ("?page=2", 13), ("?page=0", 1), ("?page=-1", 1), ("?page=x", 1), ("?page=9", 13)]
)
def test_a_page_is_asked_for_by_its_number(store: Store, query: str, first: int) -> None:
    for number in range(BOARDS_PER_PAGE + 1):
        with started(store, TrainingConfig(epochs=number + 1), 1) as writer:
            writer.finish({})
    with Live(store, port=0) as live:
        assert f"Experiments {first} to" in get(live, f"{live.address.token}/{query}").text


def test_names_are_escaped(store: Store) -> None:
    for name in HOSTILE:
        with started(store, TrainingConfig(network=name, variant=name, dataset=name), 1) as writer:
            writer.fail(name, {})
    found = Watch(store).shown().boards
    html = page.html(Shown(found, 1, len(found)), HOSTILE[0])
    head = html[: html.index('id="archlab-data"')]
    assert "<img" not in head
    assert head.count("</script>") == 0
    for board in found:
        assert "\n" not in page.message(board)
        assert "<img" not in page.standing(board)


# What it tells


def told(watch: Watch, ending: threading.Event, changes: list[Any]) -> list[tuple[str, Any]]:
    """The events of a stream; after each, the next change is made, and the stream ends when there is none."""

    async def listen() -> list[tuple[str, Any]]:
        found = []
        stream: AsyncIterator[str] = events(watch, ending)
        async for text in stream:
            name, data = text.removesuffix("\n\n").split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
            if name == "event: boards":
                continue
            if not changes:
                ending.set()
                continue
            changes.pop(0)()
        return found

    return asyncio.run(listen())


def test_a_line_that_a_run_appends_is_an_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.reports.live.server.POLL_SECONDS", 0.01)
    with started(store, PLAN[0], 1) as writer:
        found = told(
            Watch(store, PLAN), threading.Event(), [lambda: writer.append(epoch(2)), lambda: writer.finish({})]
        )
    assert [name for name, _ in found] == ["boards", "board", "board", "board"]
    assert found[0][1] == {"anchors": ["experiment"], "page": 1, "total": 1}
    assert ["1/3" in data["standing"] for _, data in found[1:]] == [True, False, False]
    assert ["2/3" in data["standing"] for _, data in found[1:]] == [False, True, True]
    assert '<span class="state">finished</span>' in found[-1][1]["standing"]


def test_an_experiment_that_starts_is_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.reports.live.server.POLL_SECONDS", 0.01)
    add_run(store, "norm=batch", 0)
    found = told(Watch(store), threading.Event(), [lambda: started(store, TrainingConfig("densenet"), 1).finish({})])
    listed = [data for name, data in found if name == "boards"]
    assert [[anchor.rpartition("-")[0] for anchor in data["anchors"]] for data in listed] == [
        ["lenet-digits"],
        ["densenet-digits", "lenet-digits"],
    ]
    assert [data["total"] for data in listed] == [1, 2]


def test_silence_is_broken_by_comments(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.reports.live.server.POLL_SECONDS", 0.01)
    monkeypatch.setattr("archlab.reports.live.server.SILENCE_SECONDS", 0.03)

    async def listen() -> list[str]:
        stream = events(Watch(store), threading.Event())
        return [await anext(stream), await anext(stream)]

    assert asyncio.run(listen()) == [
        'event: boards\ndata: {"anchors": [], "page": 1, "total": 0}\n\n',
        ": still here\n\n",
    ]


def test_the_server_streams_and_says_farewell(store: Store) -> None:
    lines: list[str] = []
    with started(store, PLAN[0], 1) as writer:
        live = Live(store, plan=PLAN, port=0)
        with live, httpx.stream("GET", f"{live.url}events", trust_env=False, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                lines.append(line)
                if line.startswith("data: {") and "1/3" in line:
                    writer.append(epoch(2))
                if line.startswith("data: {") and "2/3" in line:
                    live.last_message = "It is over."
                    live._ending.set()
    assert lines[-3:] == ["event: end", 'data: "It is over."', ""]


def test_the_page_holds_what_the_store_holds(store: Store, tmp_path: Path) -> None:
    kept, _ = experiment(tmp_path / "store", seeds=2)
    with Live(kept, port=0) as live:
        text = get(live, f"{live.address.token}/").text
    assert "4 of 4 runs have ended" in text
    assert re.search(r'data-panel="lenet-digits-[0-9a-f]{8}-training" data-chart="test-accuracy"', text)
    assert "2 of 2" in text
