from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.errors import DataError
from archlab.training import images, torchvision_files
from tests.training.test_images import write_idx


def write_batch(path: Path, count: int, labels: str, first: int = 0, older: bool = False) -> np.ndarray:
    """A file as CIFAR's are; `older` NumPy names its parts otherwise, as the published files do."""
    pixels = (np.arange(count * 3072).reshape(count, 3072) + first).astype(np.uint8)
    content = pickle.dumps({"data": pixels, labels: [(first + place) % 10 for place in range(count)]}, protocol=2)
    path.write_bytes(content.replace(b"numpy._core", b"numpy.core") if older else content)
    return pixels


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small CIFAR-10 and CIFAR-100 in torchvision's layout."""
    monkeypatch.setattr(torchvision_files, "CIFAR_IMAGES", 4)
    ten, hundred = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-100-python"
    for folder in (ten, hundred):
        folder.mkdir()
    for number in range(1, 6):
        write_batch(ten / f"data_batch_{number}", 4, "labels", number, older=number == 1)
    write_batch(ten / "test_batch", 4, "labels", 7)
    (ten / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {n}" for n in range(10)]}, 2))
    write_batch(hundred / "train", 20, "fine_labels")
    write_batch(hundred / "test", 4, "fine_labels", 3)
    (hundred / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"kind {n}" for n in range(100)]}, 2))
    return tmp_path


def test_cifar10_reads_torchvisions_layout(cifar: Path) -> None:
    found = images.load_images("cifar10", cifar)
    pixels = found.train.pixels(np.arange(20), None)
    assert (pixels.shape, found.channels, found.size) == ((20, 3, 32, 32), 3, 32)
    assert pixels[4].reshape(-1)[:3].tolist() == [2, 3, 4]  # the second file starts there, row by row
    assert pixels[0, 1, 0, 0] == (1024 + 1) % 256  # green comes 32 * 32 bytes after red
    assert found.train.labels[:8].tolist() == [1, 2, 3, 4, 2, 3, 4, 5]
    assert found.test.labels.tolist() == [7, 8, 9, 0]
    assert found.classes[9] == "class 9"


def test_cifar100_takes_the_fine_labels(cifar: Path) -> None:
    found = images.load_images("cifar100", cifar)
    assert (len(found.train.labels), len(found.test.labels), len(found.classes)) == (20, 4, 100)
    assert found.test.labels.tolist() == [3, 4, 5, 6]


def test_cifar_equals_what_torchvision_reads(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torchvision = pytest.importorskip("torchvision", reason="torchvision holds the reference")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: True)
    theirs = torchvision.datasets.CIFAR10(str(cifar), train=True)
    ours = images.load_images("cifar10", cifar)
    np.testing.assert_array_equal(ours.train.pixels(np.arange(20), None).transpose(0, 2, 3, 1), theirs.data)
    assert ours.train.labels.tolist() == theirs.targets
    assert list(ours.classes) == theirs.classes


class Calls:
    """A pickle that makes a folder when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"data": np.zeros((4, 3072)), "labels": [0] * 4}, "an array of 'f8', expected bytes"),
        ({"data": np.zeros((3, 3072), np.uint8), "labels": [0] * 4}, r"images \(3, 3072\), expected \(4, 3072\)"),
        ({"data": [1, 2], "labels": [0] * 4}, "holds images None"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0] * 3}, "no 4 labels from 0 to 9"),
        ({"data": np.zeros((4, 3072), np.uint8), "labels": [0, 1, 2, 10]}, "no 4 labels from 0 to 9"),
        ([1, 2], "holds list, expected a dictionary"),
    ],
)
def test_damaged_cifar_is_an_error(cifar: Path, content: object, message: str) -> None:
    (cifar / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(DataError, match=message):
        images.load_images("cifar10", cifar)


@pytest.mark.parametrize("name", ["test_batch", "batches.meta"])
def test_a_pickle_that_calls_something_is_refused_and_not_run(cifar: Path, tmp_path: Path, name: str) -> None:
    made = tmp_path / "made"
    (cifar / "cifar-10-batches-py" / name).write_bytes(pickle.dumps({"data": Calls(made)}, 2))
    with pytest.raises(DataError, match=r"names posix\.mkdir, which is not called|names nt\.mkdir"):
        images.load_images("cifar10", cifar)
    assert not made.exists()


def test_cut_short_cifar_is_an_error(cifar: Path) -> None:
    path = cifar / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="data_batch_3 can't be read"):
        images.load_images("cifar10", cifar)


def test_mnist_reads_torchvisions_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_files, "IDX_FILES", {"train": ("train", 6), "test": ("t10k", 4)})
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for stem, count in (("train", 6), ("t10k", 4)):
        write_idx(folder / f"{stem}-images-idx3-ubyte", np.full((count, 28, 28), count))
        write_idx(folder / f"{stem}-labels-idx1-ubyte", np.arange(count))
    found = images.load_images("mnist", tmp_path)
    assert found.train.pixels(np.arange(6), None).mean() == 6
    assert found.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("mnist", "MNIST/raw"),
        ("fashion-mnist", "FashionMNIST/raw"),
        ("cifar10", "cifar-10-batches-py"),
        ("cifar100", "cifar-100-python"),
    ],
)
def test_what_is_missing_names_three_ways(tmp_path: Path, name: str, folder: str) -> None:
    with pytest.raises(DataError, match=rf"holds {folder} \(--data-dir.*ARCHLAB_DATA.*--download"):
        images.load_images(name, tmp_path)


@pytest.mark.parametrize(("name", "maker"), [("mnist", "MNIST"), ("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_a_download_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, maker: str) -> None:
    datasets = pytest.importorskip("torchvision.datasets", reason="torchvision downloads")

    def refuse(root: str, download: bool) -> None:
        raise RuntimeError(f"no network for {root}")

    monkeypatch.setattr(datasets, maker, refuse)
    with pytest.raises(DataError, match=rf"can't be downloaded into .*no network for {tmp_path}"):
        images.load_images(name, tmp_path, download=True)
