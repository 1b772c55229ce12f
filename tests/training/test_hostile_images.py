"""Image files that are no photos: scaled right, or refused by name before memory is taken."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from archlab.errors import ArchlabError, DataError, InputError
from archlab.memory import demand, free_bytes
from archlab.training.idx import read_idx
from archlab.training.images import load_images


def folder(root: Path, write: Callable[[Path], object], name: str = "odd.png") -> Path:
    """A data set of two classes of black images, with one file that `write` makes."""
    for kind in ("a", "b"):
        (root / kind).mkdir(parents=True)
        for number in range(6):
            Image.new("L", (4, 4)).save(root / kind / f"{number}.png")
    write(root / "a" / name)
    return root


def pixels(root: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The values of the odd file: the brightest image of the data set."""
    found = load_images(str(root))
    parts = [part.pixels(np.arange(len(part.labels)), 4) for part in (found.train, found.test)]
    whole = np.concatenate(parts)
    brightest: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = whole[whole.reshape(len(whole), -1).max(1).argmax()]
    return brightest


SIXTEEN = (np.arange(16, dtype=np.uint32).reshape(4, 4) * 4369).astype(np.uint16)  # 0 to 65535


@pytest.mark.parametrize("name", ["odd.png", "odd.tif", "odd.pgm"])
def test_sixteen_bits_become_eight(name: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "data", Image.fromarray(SIXTEEN).save, name)
    assert load_images(str(root)).channels == 1
    assert (pixels(root)[0] == np.arange(16).reshape(4, 4) * 17).all()


@pytest.mark.parametrize(("mode", "kind"), [("F", "fractions"), ("I", "32-bit integers")])
def test_values_without_a_range_are_refused(mode: str, kind: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "data", Image.new(mode, (4, 4), 70000).save, "odd.tif")
    with pytest.raises(DataError, match=kind):
        load_images(str(root))


def png_of(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [
        png_of(100_000, 100_000), png_of(12_000, 10_000), png_of(2**31 - 1, 1), png_of(0, 0), b"", b"\x89PNG\r\n\x1a\n",
        b"GIF89a", b"P5 99999999999 1 255\n", b"BM" + bytes(60), bytes(1000), b"II*\0" + b"\xff" * 60, b"RIFF0000WEBP",
    ],
)  # fmt: skip
def test_what_is_no_image_or_too_large_is_refused(content: bytes, tmp_path: Path) -> None:
    root = folder(tmp_path / "data", lambda path: path.write_bytes(content))
    with pytest.raises(DataError, match=r"odd\.png"):
        pixels(root)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no file"):
        load_images(str(folder(tmp_path / "data", os.mkfifo)))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damaged_images_are_read_or_refused(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    form = data.draw(st.sampled_from(["png", "gif", "bmp", "tiff", "jpeg", "webp", "ppm"]))
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(buffer, form)
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    kept = bytes(content)[: data.draw(st.integers(0, len(content)))]
    root = folder(tmp_path_factory.mktemp("images") / "data", lambda path: path.write_bytes(kept))
    with contextlib.suppress(DataError):
        assert pixels(root).dtype == np.uint8


def idx(*sizes: int, values: int) -> bytes:
    return bytes([0, 0, 8, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes) + bytes(values)


def test_a_small_file_that_unpacks_to_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(idx(2, 2, 2, values=8) + bytes(10**8)))
    read = gzip.GzipFile.read
    asked: list[int | None] = []

    def counted(file: gzip.GzipFile, size: int | None = -1) -> bytes:
        asked.append(size)
        return read(file, size)

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    with pytest.raises(DataError, match="more bytes, expected 24"):
        read_idx(path, (2, 2, 2))
    assert asked == [25]


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=64), packed=st.booleans())
def test_any_bytes_are_an_idx_file_or_refused(
    content: bytes, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("idx") / ("x.gz" if packed else "x")
    path.write_bytes(content)
    with pytest.raises(DataError):
        read_idx(path, (2, 2, 2))


def test_memory_is_asked_for_before_it_is_taken() -> None:
    import archlab

    huge: list[dict[str, Any]] = [{"size": 10**6}, {"epochs": 10**12}, {"landscape": 10**6 + 1}]
    for chosen in huge:
        config = replace(archlab.records.TrainingConfig(), **chosen)
        with pytest.raises(InputError, match="GB of memory, and"):
            archlab.train(config, progress=False)
    with pytest.raises(ArchlabError, match="GB of memory, and"):
        archlab.trace("lenet", "100000x1x1000x1000=ones")
    demand(1, "one byte", "")
    assert (free_bytes() or 10**9) > 10**6
