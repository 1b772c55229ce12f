"""Full disks, devices, pipes, and who may read what is written."""

import errno
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from archlab import files
from archlab.errors import StoreError
from archlab.records import Landscape, Probes
from archlab.store import open_store
from archlab.store.arrays import write_arrays
from tests.store.test_store import CONFIG, CURVES, ENVIRONMENT, epoch, write

resource = pytest.importorskip("resource")
LARGE = np.zeros(100_000, dtype=np.float32)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> Iterator[None]:
    """No file grows beyond 64 kB, as if the disk were full then."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


@pytest.mark.usefixtures("full")
def test_no_draft_stays_on_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="File too large"):
        files.replace_text(path, "x" * 300_000)
    with pytest.raises(OSError, match="File too large"):
        write_arrays(path, {"x": LARGE})
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_run_on_a_full_disk_is_interrupted_and_ends_when_there_is_room(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store = open_store(tmp_path)
    probes = Probes(landscape=Landscape(LARGE[:300], np.zeros((300, 300), np.float32), 1))
    with store.writer(CONFIG, ENVIRONMENT) as writer:
        writer.append(epoch(1))
        request.getfixturevalue("full")
        with pytest.raises(StoreError, match="can't be written: File too large"):
            writer.finish(CURVES, probes=probes)
        assert hidden(tmp_path) == []
        assert store.run(writer.key).status == "running"
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert writer.finish(CURVES, probes=probes).status == "finished"
    assert store.problems() == []


def test_a_run_that_can_not_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("archlab.store.lock.hold", full)
    with pytest.raises(StoreError, match="No space left"):
        open_store(tmp_path).writer(CONFIG, ENVIRONMENT)
    assert list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
def test_all_files_have_the_mode_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        store = open_store(tmp_path)
        run = write(store)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "runs" / run.key).iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_pipes_take_what_comes_or_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(StoreError, match="nobody reads this pipe or device"):
        files.save(pipe, b"x")
    with pytest.raises(OSError, match="no regular file"):
        files.read_regular(pipe)
    found: list[bytes] = []
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    thread = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    thread.start()
    try:
        files.save(pipe, b"x" * 100_000)
    finally:
        os.close(descriptor)
    thread.join(10)
    assert (found, pipe.is_fifo()) == ([b"x" * 100_000], True)


def test_a_device_that_takes_nothing_and_a_link_to_itself(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        files.replace_text(loop, "x")
    device = Path("/dev/full")
    if device.is_char_device():
        with pytest.raises(OSError, match="No space left"):
            files.replace_text(device, "x")
        assert device.is_char_device()
