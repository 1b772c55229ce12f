"""Readers of images, to be given damaged files: IDX, CIFAR's pickles, and folders of pictures."""

from __future__ import annotations

import io
import itertools
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.faults import spoiling
from tests.faults.reading import attempt


def read_idx_files(data: st.DataObject, folder: Path) -> None:
    """A folder of Fashion-MNIST, of eight images, in which one file is damaged."""
    from archlab.training import torchvision_files
    from archlab.training.images import load_images

    own = {"train": ("train", 6), "test": ("t10k", 2)}
    kept, torchvision_files.IDX_FILES = torchvision_files.IDX_FILES, own
    try:
        place = folder / torchvision_files.LAYOUTS["fashion-mnist"].folder
        place.mkdir(parents=True)
        odd, named = data.draw(st.integers(0, 3)), itertools.count()
        for stem, count in own.values():
            for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
                whole = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + bytes(int(np.prod(shape)))
                suffix = ""
                if next(named) == odd:
                    whole = data.draw(spoiling.damaged(whole))
                    if data.draw(st.booleans()):
                        whole, suffix = data.draw(spoiling.packed(whole)), ".gz"
                (place / f"{stem}-{kind}-ubyte{suffix}").write_bytes(whole)
        attempt(lambda: load_images("fashion-mnist", folder))
    finally:
        torchvision_files.IDX_FILES = kept


FORMS: dict[str, dict[str, Any]] = {
    "png": {}, "gif": {}, "bmp": {}, "jpeg": {"progressive": True}, "webp": {}, "ppm": {}, "tiff": {},
    "tiff ": {"compression": "tiff_lzw"}, "tiff  ": {"compression": "packbits"}, "png ": {"bits": 4}, "jpeg ": {},
    "webp ": {"lossless": True}, "eps": {}, "pcx": {}, "ico": {}, "jpeg2000": {}, "dds": {}, "tga": {}, "sgi": {},
}  # fmt: skip
"""Formats of Pillow, also those that archlab doesn't read: a file's name says nothing of what is in it."""
MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LA", "YCbCr")


@cache
def picture(form: str, mode: str) -> bytes:
    """A small image; empty where the format doesn't have that mode."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        whole = Image.linear_gradient("L").resize((12, 10))
        made = whole.convert("I").convert(mode) if mode == "I;16" else whole.convert("RGB").convert(mode)
        made.save(buffer, form.strip(), **FORMS[form])
    except (OSError, ValueError, KeyError):
        return b""
    return buffer.getvalue()


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """A PNG whose parts have right sums, with sizes, kinds and contents that go together or not."""
    size = st.sampled_from((0, 1, 3, 4, 8, 1000, 9459, 70_000, 2**31 - 1))
    form = [draw(st.sampled_from((1, 2, 4, 8, 16, 3))), draw(st.sampled_from((0, 2, 3, 4, 6, 1)))]
    header = np.array([draw(size), draw(size)], ">u4").tobytes() + bytes([*form, 0, 0, draw(st.integers(0, 2))])
    kinds = (b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IHDR", b"gAMA")
    bodies = (b"", b"\0" * 40, b"k\0\0" + zlib.compress(bytes(10**7)), zlib.compress(bytes(10**6)), b"\xff" * 26)
    parts = [
        spoiling.chunk(draw(st.sampled_from(kinds)), draw(st.sampled_from(bodies) | st.binary(max_size=30)))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join([spoiling.chunk(b"IHDR", header), *parts, spoiling.chunk(b"IEND", b"")])


def read_images(data: st.DataObject, folder: Path) -> None:
    """A folder of images per class in which some file is damaged, or no photo."""
    from archlab.training.images import EXTENSIONS, load_images

    for kind in "ab":
        (folder / kind).mkdir()
        for number in range(3):
            (folder / kind / f"{number}.png").write_bytes(picture("png", "L"))
    whole = b""
    while not whole:
        form, mode = data.draw(st.sampled_from(list(FORMS))), data.draw(st.sampled_from(MODES))
        whole = picture(form, mode)
    odd = data.draw(pngs() if data.draw(st.integers(0, 3)) == 0 else spoiling.damaged(whole))
    (folder / "a" / f"odd{data.draw(st.sampled_from(sorted(EXTENSIONS)))}").write_bytes(odd)
    found = attempt(lambda: load_images(str(folder)))
    if found is not None:
        for part in (found.train, found.test):
            attempt(partial(part.pixels, np.arange(len(part.labels)), 8))


def read_cifar(data: st.DataObject, folder: Path) -> None:
    """A file of CIFAR-10, of two images, that is damaged or a pickle of something else."""
    import pickle

    from archlab.training.cifar import read_batch, read_names

    held = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 9], "label_names": list("abcdefghij")}
    whole = pickle.dumps(held, protocol=data.draw(st.sampled_from((2, 4))))
    path = folder / "batch"
    path.write_bytes(data.draw(spoiling.damaged(whole)))
    attempt(lambda: read_batch(path, 2, "labels", 10))
    attempt(lambda: read_names(path, "label_names", 10))
