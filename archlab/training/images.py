"""Labelled images as they lie on disk: the embedded digits, torchvision's files, any folder of images per class.

Torch-free; `archlab.training.datasets` makes tensors of them.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archlab.errors import DataError, nearest
from archlab.training import idx, torchvision_files

if TYPE_CHECKING:
    from PIL.Image import Image

Bytes = idx.Bytes
Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

IMAGES_PER_TEST_IMAGE = 5
"""One image of five is for testing, class by class, where a data set comes without a split of its own."""
DIGITS_IMAGES = 1797
EXTENSIONS = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what these hold. It knows many more, some of which start programs, whatever a file is called."""
TEST_FOLDERS = ("test", "val")
GREY = {"1", "L", "I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes of grey images."""
SIXTEEN_BITS = {"PNG", "PPM"}
"""Formats whose integers are of 16 bits, where Pillow gives 32."""
MOST_PIXELS = 89_478_485
"""Of one image: from there on Pillow takes it for a decompression bomb."""


@dataclass(frozen=True, slots=True)
class Part:
    """The training or the test images, still to be read at the size that is wanted."""

    labels: Labels
    """Class of each image."""
    pixels: Callable[[Labels, int | None], Bytes]
    """(indices, size) -> uint8 (images, channels, height, width); a size is kept where the source reads at any."""


@dataclass(frozen=True, slots=True)
class Images:
    """A data set."""

    name: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    channels: int
    size: int | None
    """Height and width of all images; None where they differ."""
    fingerprint: str
    """A hash of every image and label."""
    oblong: tuple[int, int] | None = None
    """Height and width of images that are all alike and no squares."""


def load_images(dataset: str, data_dir: str | Path | None = None, *, download: bool = False) -> Images:
    """The images that a name or a folder stands for.

    Args:
        dataset: `digits`, a name of `torchvision_files.LAYOUTS` (`fashion-mnist`, `cifar10`), or the path of a folder.
        data_dir: where the latter lie, as torchvision lays them out; else `$ARCHLAB_DATA`, else the cache folder.
        download: fetch one through torchvision where it is missing.

    Raises:
        DataError: they can't be had or can't be read; nothing else is ever used in their place.
    """
    if dataset == "digits":
        return _digits()
    if dataset in torchvision_files.LAYOUTS:
        return _whole(dataset, *torchvision_files.read(dataset, data_folder(data_dir), download=download))
    if Path(dataset).is_dir():
        return _folder(Path(dataset))
    raise DataError(
        f"there is no data set {dataset!r}: expected a folder of images per class, or a name: "
        + nearest(dataset, ["digits", *torchvision_files.LAYOUTS])
    )


def data_folder(data_dir: str | Path | None = None) -> Path:
    """The folder where data lies: the one given, else `$ARCHLAB_DATA`, else `archlab` in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(data_dir or os.environ.get("ARCHLAB_DATA") or cache / "archlab")


def files_of(dataset: str, data_dir: str | Path | None = None) -> tuple[Path, list[str]] | None:
    """The folder that a data set lies in and the names of its files in there, sorted; None of one that is built in.

    Files that aren't there are left out.
    """
    if dataset == "digits":
        return None
    if dataset in torchvision_files.LAYOUTS:
        layout = torchvision_files.LAYOUTS[dataset]
        root = data_folder(data_dir)
        wanted = [f"{layout.folder}/{name}{ending}" for name in layout.files for ending in ("", ".gz")]
        return root, sorted(name for name in wanted if (root / name).is_file())
    found = []
    for folder, _, names in os.walk(dataset):
        inner = os.path.relpath(folder, dataset)
        found += [name if inner == "." else f"{inner}/{name}" for name in names]
    return Path(dataset), sorted(found)


def split(labels: Labels) -> tuple[Labels, Labels]:
    """Indices (train, test), each in order: of every class a fixed random fifth, rounded, is for testing."""
    random = np.random.RandomState(0)  # its stream is frozen for good, unlike default_rng's
    chosen = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        chosen.append(random.permutation(members)[: round(len(members) / IMAGES_PER_TEST_IMAGE)])
    test = np.sort(np.concatenate(chosen))
    train = np.setdiff1d(np.arange(len(labels)), test)
    return train, test


def _digits() -> Images:
    path = Path(str(metadata.distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")))
    if path.exists():  # importing scikit-learn would take longer than training on its digits
        table = np.loadtxt(gzip.decompress(path.read_bytes()).decode().splitlines(), delimiter=",")
        values, labels = table[:, :-1], table[:, -1].astype(np.int64)
    else:
        from sklearn.datasets import load_digits

        values, labels = load_digits(return_X_y=True)
        labels = labels.astype(np.int64)
    if values.shape != (DIGITS_IMAGES, 64):
        raise DataError(
            f"scikit-learn's digits are {values.shape}, expected {(DIGITS_IMAGES, 64)}: install scikit-learn again"
        )
    # 0..16 becomes 0..255, as close as bytes come.
    pixels = np.round(values * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    train, test = split(labels)
    return _whole("digits", (pixels[train], labels[train]), (pixels[test], labels[test]), tuple("0123456789"))


def _whole(name: str, train: tuple[Bytes, Labels], test: tuple[Bytes, Labels], classes: tuple[str, ...]) -> Images:
    """A data set that is small enough to be read whole at its own size."""

    def part(pixels: Bytes, labels: Labels) -> Part:
        return Part(labels, lambda indices, _size: pixels[indices])

    arrays = (*train, *test)
    _, channels, size, _ = train[0].shape
    digest = fingerprint(np.ascontiguousarray(array).data for array in arrays)
    return Images(name, part(*train), part(*test), classes, channels, size, digest)


def fingerprint(parts: Iterable[bytes | memoryview]) -> str:
    """The first 16 hexadecimal digits of the parts' common SHA-256."""
    digest = hashlib.sha256()
    for item in parts:
        digest.update(item)
    return digest.hexdigest()[:16]


def _folder(root: Path) -> Images:
    """Images per class as torchvision's ImageFolder finds them: classes are sub-folders, sorted, files too."""
    test_root = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if (root / "train").is_dir() and test_root is not None:
        train_files, test_files = _by_class(root / "train"), _by_class(test_root)
        if list(train_files) != list(test_files):
            odd = sorted(set(train_files) ^ set(test_files))
            raise DataError(f"{root / 'train'} and {test_root} differ in their classes: {', '.join(odd)}")
        classes = tuple(train_files)
        train, test = _listed(train_files), _listed(test_files)
    else:
        files = _by_class(root)
        classes = tuple(files)
        paths, labels = _listed(files)
        chosen, held = split(labels)
        train = [paths[index] for index in chosen], labels[chosen]
        test = [paths[index] for index in held], labels[held]
        if not len(held):
            raise DataError(
                f"{root} has too few images for a test: expected 3 or more in a class, so that a fifth is one"
            )
    everything = [*train[0], *test[0]]
    channels, shape = _inspect(everything)
    size = shape[0] if shape and shape[0] == shape[1] else None
    digest = fingerprint(
        piece for path in everything for piece in (f"{path.parent.name}\n".encode(), path.read_bytes())
    )

    def part(paths: list[Path], labels: Labels) -> Part:
        return Part(labels, lambda indices, size: np.stack([_decode(paths[item], channels, size) for item in indices]))

    return Images(root.name, part(*train), part(*test), classes, channels, size, digest, None if size else shape)


def _by_class(root: Path) -> dict[str, list[Path]]:
    folders = sorted(item for item in root.iterdir() if item.is_dir() and not item.name.startswith("."))
    files = {
        folder.name: sorted(item for item in folder.rglob("*") if item.suffix.lower() in EXTENSIONS)
        for folder in folders
    }
    if len(files) < 2:
        raise DataError(
            f"{root} has {len(files)} class folders, expected 2 or more: one sub-folder of images per class"
        )
    empty = [name for name, found in files.items() if not found]
    if empty:
        kinds = ", ".join(sorted(EXTENSIONS))
        raise DataError(f"{root / empty[0]} has no images ({kinds}): add some, or remove the folder")
    return files


def _listed(files: Mapping[str, list[Path]]) -> tuple[list[Path], Labels]:
    labels = [label for label, found in enumerate(files.values()) for _ in found]
    return [path for found in files.values() for path in found], np.asarray(labels, dtype=np.int64)


def _inspect(paths: Iterable[Path]) -> tuple[int, tuple[int, int] | None]:
    """Channels (1 if all images are grey, else 3), and the height and width if all have the same."""
    modes, sizes = set(), set()
    for path in paths:
        with _opened(path) as image:
            modes.add(image.mode)
            sizes.add(image.size)
    (width, height), *others = sizes
    return (1 if modes <= GREY else 3), (None if others else (height, width))


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """An image of which the header alone has been read.

    Raises:
        DataError: it is none, would unpack to more than `MOST_PIXELS`, or its values have no known range.
    """
    from PIL import Image

    try:
        if not path.is_file():  # a pipe would be waited for
            raise DataError(f"{path} is no file, expected an image. Remove it")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=FORMATS)
        with image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise DataError(
                    f"{path} has {width:,} x {height:,} pixels, expected {MOST_PIXELS:,} at most: make it smaller, or "
                    "remove it"
                )
            if image.mode == "F" or (image.mode == "I" and image.format not in SIXTEEN_BITS):
                kind = "fractions" if image.mode == "F" else "32-bit integers"
                raise DataError(
                    f"{path} holds {kind}, of which nobody knows what is black and what is white: save it with 8 or "
                    "16 bits per value"
                )
            yield image
    except Image.DecompressionBombError as error:
        raise DataError(f"{path} unpacks to too many pixels: {error}. Make it smaller, or remove it") from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} can't be read as an image: {error}. Mend or remove it") from error


def _decode(path: Path, channels: int, size: int | None) -> Bytes:
    """One image as (channels, height, width), stretched to a square of a size by bilinear interpolation."""
    from PIL import Image

    with _opened(path) as image:
        if image.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255: 65535 is white
            values = np.asarray(image).astype(np.uint32)
            image = Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
        converted = image.convert("L" if channels == 1 else "RGB")
        if size is not None and converted.size != (size, size):
            converted = converted.resize((size, size), Image.Resampling.BILINEAR)
        pixels = np.asarray(converted)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
