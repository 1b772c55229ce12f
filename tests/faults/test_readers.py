"""Damaged files are read or refused: a share of the fuzzer, and what it found."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.errors import ArchlabError, DataError, InputError
from archlab.records import NormHealth, Profile, Run, Trace
from archlab.records.reading import content
from archlab.training.cifar import read_batch
from tests.faults import children
from tests.faults.pictures import picture
from tests.faults.readers import READERS, examples, samples
from tests.faults.reading import attempt
from tests.reports.samples import lenet_trace


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    assert set(examples(name, 6 if name in ("pages", "stores") else 20, 0, tmp_path)) == {""}


def test_the_fuzzer_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(data: object, folder: Path) -> None:
        attempt(lambda: [][0])

    def rambles(data: object, folder: Path) -> None:
        def refuse() -> None:
            raise InputError("\x1b" * 5000)

        attempt(refuse)

    for number, (reader, wrong) in enumerate(
        ((fails, "IndexError in test_readers.py"), (rambles, "a message of 5,000"))
    ):
        monkeypatch.setitem(READERS, "idx", reader)
        (found,) = examples("idx", 1, number, tmp_path)
        assert wrong in found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no copies of processes")
@pytest.mark.parametrize(
    ("act", "wrong"),
    [
        (lambda: None, ""),
        (lambda: 1 / 0, "nobody foresaw"),
        (lambda: len(b"x" * 10**8) and 0, "0.1 GB"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
        (lambda: next(number for number in iter(int, 1) if number), "no end within 0 s"),
    ],
)
def test_a_copy_tells_what_was_done_in_it(
    act: Callable[[], Any], wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "BYTES", 5 * 10**7)
    assert wrong in children.in_a_copy(act, tmp_path / "output", 0.4).violation


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"schema": "\xff"}', b'{"schema": "archlab.trace/1", "x": NaN}', b"\0"]
)
def test_what_is_no_json_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "trace.json").write_bytes(text)
    with pytest.raises(InputError, match=r"trace\.json"):
        Trace.read(tmp_path / "trace.json")


def test_a_file_without_an_end_is_not_read_whole(tmp_path: Path) -> None:
    if Path("/dev/zero").exists():
        with pytest.raises(InputError, match="more than 1,000 bytes"):
            content("/dev/zero", 1000)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert content(tmp_path / "pipe") == b""


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda layers: layers[1].update(inputs=[9]), "takes row 9 of 6"),
        (lambda layers: layers[1].update(inputs=[-2]), "takes row -2"),
        (lambda layers: layers[1].update(depth=0), "has depth 0"),
        (
            lambda layers: layers[0].update(window={"kernel": [5], "stride": [1], "padding": [], "dilation": [1]}),
            r"numbers for \[0, 1\] axes",
        ),
    ],
)
def test_a_trace_of_which_parts_contradict_each_other_is_refused(
    change: Callable[[list[dict[str, Any]]], None], wrong: str
) -> None:
    document = lenet_trace().to_dict()
    change(document["layers"])
    with pytest.raises(InputError, match=wrong):
        Trace.from_dict(document)


def test_other_records_that_contradict_themselves_are_refused() -> None:
    profile = samples()["Profile"]
    run = samples()["Run"] | {
        "data": {
            "classes": [],
            "duplicates": 0,
            **{part: {"counts": [], "mean": [], "deviation": [], "spread": []} for part in ("train", "test")},
        }
    }
    layer = {"path": "norm", "kind": "BatchNorm2d", "epsilon": 0.1, "momentum": None, "gamma": [1, 1], "beta": [0]}
    health = {"schema": NormHealth.SCHEMA, "network": "net", "layers": [layer]}
    cases: list[tuple[Any, Any, str]] = [
        (Profile, profile | {"layers": []}, "times of 0 layers"),
        (Run, run, "its data has 0 classes"),
        (Run, samples()["Run"] | {"epochs": [{"epoch": 1, "step": 2**63, "seconds": 0}]}, "ends at step"),
        (NormHealth, health, "numbers for 1 channels and for 2"),
        (NormHealth, health | {"layers": []}, "no layers"),
    ]
    for kind, document, wrong in cases:
        with pytest.raises(InputError, match=wrong):
            kind.from_dict(document)


class _Caller:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


BOMBS: dict[str, bytes] = {
    "a place for each number": b"\x80\x02]r\xff\xff\xff\xff.",
    "an array of a terabyte": pickle.dumps(_Caller(np.ndarray, ((10**12,), "u1"))),
    "a million dictionaries": b"\x80\x02(" + b"}" * 10**6 + b"l.",
    "one text a thousand times": b"\x80\x02(X\x40\x42\x0f\x00" + b"x" * 10**6 + b"q\x010"
    + b"c_codecs\nencode\nh\x01X\x06\x00\x00\x00latin1\x86R" * 20 + b"l.",
    "a state of a function": b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_pickle_takes_no_more_memory_than_its_file(name: str, tmp_path: Path) -> None:
    path = tmp_path / "batch"
    path.write_bytes(BOMBS[name])
    found = attempt(lambda: _refused(lambda: read_batch(path, 2, "labels", 10)))
    assert "batch can't be read as a file of CIFAR" in str(found) or "batch holds list" in str(found)


def _refused(read: Callable[[], object]) -> ArchlabError | None:
    try:
        read()
    except DataError as error:
        return error
    return None


def test_a_picture_that_starts_a_program_is_none(tmp_path: Path) -> None:
    from archlab.training.images import load_images

    for kind in "ab":
        (tmp_path / kind).mkdir()
        for number in range(3):
            (tmp_path / kind / f"{number}.png").write_bytes(picture("eps", "L"))
    with pytest.raises(DataError, match="can't be read as an image"):
        load_images(str(tmp_path))
