"""Data sets in the files that torchvision keeps: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archlab.errors import DataError
from archlab.training import cifar, idx
from archlab.training.cifar import Labels
from archlab.training.idx import Bytes

Part = tuple[Bytes, Labels]
"""uint8 (images, channels, height, width), and the class of each image."""

IDX_FILES = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
"""Part -> how the names of its files begin, and its images: of MNIST, and of Fashion-MNIST, which is made like it."""
CIFAR_IMAGES = 10_000
"""Images of the test, and of each training file of CIFAR-10; the training file of CIFAR-100 has five times as many."""
CIFAR10_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
FASHION_CLASSES = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """How torchvision keeps one data set."""

    title: str
    """What people call it."""
    maker: str
    """The class of `torchvision.datasets` that fetches it."""
    folder: str
    """Where its files lie, in the data folder."""
    files: tuple[str, ...]
    """Their names; each may have `.gz` behind it where that is read."""
    read: Callable[[Path], tuple[Part, Part, tuple[str, ...]]]
    """Folder -> training images, test images, names of the classes."""


def _read_idx(classes: tuple[str, ...]) -> Callable[[Path], tuple[Part, Part, tuple[str, ...]]]:
    def read(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
        parts: list[Part] = []
        for stem, count in IDX_FILES.values():
            pixels = idx.read_idx(_present(folder / f"{stem}-images-idx3-ubyte"), (count, 28, 28))
            labels = idx.read_idx(_present(folder / f"{stem}-labels-idx1-ubyte"), (count,))
            if labels.max() >= len(classes):
                raise DataError(f"{folder} has a label {labels.max()}, expected 0 to 9. Fetch the files again")
            parts.append((pixels[:, None], labels.astype(np.int64)))
        return parts[0], parts[1], classes

    return read


def _read_cifar10(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
    names = cifar.read_names(_present(folder / "batches.meta"), "label_names", 10)
    batches = [cifar.read_batch(_present(folder / name), CIFAR_IMAGES, "labels", 10) for name in CIFAR10_BATCHES]
    pixels, labels = zip(*batches[:-1], strict=True)
    return (np.concatenate(pixels), np.concatenate(labels)), batches[-1], names


def _read_cifar100(folder: Path) -> tuple[Part, Part, tuple[str, ...]]:
    names = cifar.read_names(_present(folder / "meta"), "fine_label_names", 100)
    train, test = (
        cifar.read_batch(_present(folder / name), count, "fine_labels", 100)
        for name, count in (("train", 5 * CIFAR_IMAGES), ("test", CIFAR_IMAGES))
    )
    return train, test, names


_IDX_NAMES = tuple(f"{stem}-{kind}-ubyte" for stem in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
LAYOUTS = {
    "fashion-mnist": Layout(
        "Fashion-MNIST", "FashionMNIST", "FashionMNIST/raw", _IDX_NAMES, _read_idx(FASHION_CLASSES)
    ),
    "mnist": Layout("MNIST", "MNIST", "MNIST/raw", _IDX_NAMES, _read_idx(tuple("0123456789"))),
    "cifar10": Layout("CIFAR-10", "CIFAR10", "cifar-10-batches-py", (*CIFAR10_BATCHES, "batches.meta"), _read_cifar10),
    "cifar100": Layout("CIFAR-100", "CIFAR100", "cifar-100-python", ("train", "test", "meta"), _read_cifar100),
}
"""Name of a data set -> its layout."""


def read(name: str, root: Path, *, download: bool = False) -> tuple[Part, Part, tuple[str, ...]]:
    """The training images, the test images and the classes of a data set of `LAYOUTS`.

    Args:
        name: of the data set.
        root: the data folder.
        download: fetch it through torchvision where a file is missing.

    Raises:
        DataError: it is not there, can't be fetched or can't be read.
    """
    layout = LAYOUTS[name]
    folder = root / layout.folder
    missing = [file for file in layout.files if not _found(folder / file)]
    if missing and download:
        _download(layout, root)
    elif missing:
        raise DataError(
            f"{layout.title} is not in {folder}: {missing[0]} is missing. Three ways to get it: name the folder that "
            f"holds {layout.folder} (--data-dir, data_dir=), set ARCHLAB_DATA to it, or let it be downloaded "
            "(--download, download=True)"
        )
    return layout.read(folder)


def _download(layout: Layout, root: Path) -> None:
    from torchvision import datasets

    try:
        root.mkdir(parents=True, exist_ok=True)
        getattr(datasets, layout.maker)(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{layout.title} can't be downloaded into {root}: {error}. Fetch it on another machine, and name the "
            f"folder that holds {layout.folder} (--data-dir, data_dir=, ARCHLAB_DATA)"
        ) from error


def _found(path: Path) -> Path | None:
    return next((item for item in (path, path.with_name(f"{path.name}.gz")) if item.exists()), None)


def _present(path: Path) -> Path:
    found = _found(path)
    if found is None:
        raise DataError(f"{path} is missing though its neighbours are there. Fetch the files again")
    return found
