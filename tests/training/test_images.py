import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archlab.errors import DataError
from archlab.training import images, torchvision_files


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def fashion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Fashion-MNIST in torchvision's layout."""
    monkeypatch.setattr(torchvision_files, "IDX_FILES", {"train": ("train", 6), "test": ("t10k", 4)})
    monkeypatch.delenv("ARCHLAB_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for stem, count in (("train", 6), ("t10k", 4)):
        pixels = np.arange(count * 784).reshape(count, 28, 28) % 251
        write_idx(folder / f"{stem}-images-idx3-ubyte", pixels)
        write_idx(folder / f"{stem}-labels-idx1-ubyte", np.arange(count))
    return tmp_path


def write_image(path: Path, size: tuple[int, int] = (4, 4), colour: object = 0, mode: str = "L") -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)  # type: ignore[arg-type]


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    found = images.load_images("digits")
    values, labels = load_digits(return_X_y=True)
    train, test = images.split(labels)
    assert len(found.train.labels) + len(found.test.labels) == 1797
    everything = np.arange(len(found.train.labels))
    np.testing.assert_array_equal(found.train.labels, labels[train])
    np.testing.assert_array_equal(found.test.labels, labels[test])
    pixels = found.train.pixels(everything, None)
    assert pixels.shape == (len(train), 1, 8, 8)
    # 0..16 to 0..255: 16 * 255 / 16 = 255
    np.testing.assert_array_equal(pixels.reshape(-1, 64), np.round(values[train] * 255 / 16))
    assert (found.channels, found.size, len(found.classes)) == (1, 8, 10)


def test_digits_need_no_scikit_learn_import() -> None:
    program = (
        "import sys; from archlab.training import images; images.load_images('digits'); print('sklearn' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "False"


def test_split_takes_a_fifth_of_every_class_and_is_fixed() -> None:
    labels = np.repeat([0, 1, 2], [10, 20, 33])
    train, test = images.split(labels)
    assert np.bincount(labels[test]).tolist() == [2, 4, 7]  # 10 / 5, 20 / 5, round(33 / 5)
    assert sorted([*train, *test]) == list(range(63))
    again = images.split(labels)
    np.testing.assert_array_equal(train, again[0])
    np.testing.assert_array_equal(test, again[1])


def test_fashion_mnist_reads_torchvisions_layout(fashion: Path) -> None:
    found = images.load_images("fashion-mnist", fashion)
    pixels = found.train.pixels(np.arange(6), None)
    assert pixels.shape == (6, 1, 28, 28)
    assert pixels[0, 0, 0].tolist() == list(range(28))
    assert found.test.labels.tolist() == [0, 1, 2, 3]
    assert found.classes[9] == "ankle boot"


def test_fashion_mnist_is_found_by_environment_and_compressed(fashion: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = images.load_images("fashion-mnist", fashion)
    for path in (fashion / "FashionMNIST" / "raw").iterdir():
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    monkeypatch.setenv("ARCHLAB_DATA", str(fashion))
    assert images.load_images("fashion-mnist").fingerprint == plain.fingerprint


def test_missing_fashion_mnist_names_three_ways(fashion: Path) -> None:
    with pytest.raises(DataError, match=r"--data-dir.*ARCHLAB_DATA.*--download"):
        images.load_images("fashion-mnist")


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("train-images-idx3-ubyte", lambda data: data[:-1], "has 4719 bytes, expected 4720"),  # 16 + 6 * 784
        ("train-images-idx3-ubyte", lambda data: data + b"x", "has more bytes, expected 4720"),
        ("train-images-idx3-ubyte", lambda data: b"", "starts with nothing"),
        ("train-images-idx3-ubyte", lambda data: b"\x00\x00\x0d\x03" + data[4:], "starts with 00000d03"),
        ("train-images-idx3-ubyte", lambda data: data[:7] + b"\x07" + data[8:], "7 x 28 x 28 values, expected 6 x 28"),
        ("t10k-labels-idx1-ubyte", lambda data: data[:-1] + b"\x0a", "a label 10, expected 0 to 9"),
        ("t10k-labels-idx1-ubyte", None, "t10k-labels-idx1-ubyte is missing"),
    ],
)
def test_damaged_fashion_mnist_is_an_error(fashion: Path, name: str, damage: object, message: str) -> None:
    path = fashion / "FashionMNIST" / "raw" / name
    if callable(damage):
        path.write_bytes(damage(path.read_bytes()))
    else:
        path.unlink()
    with pytest.raises(DataError, match=message):
        images.load_images("fashion-mnist", fashion)


def test_truncated_gzip_is_an_error(fashion: Path) -> None:
    path = fashion / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte"
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    path.unlink()
    with pytest.raises(DataError, match="can't be read"):
        images.load_images("fashion-mnist", fashion)


def test_unknown_name_suggests() -> None:
    with pytest.raises(DataError, match="did you mean fashion-mnist"):
        images.load_images("fashon-mnist")


def test_folder_of_grey_images_is_split(tmp_path: Path) -> None:
    for name in ("b", "a"):
        for number in range(5):
            write_image(tmp_path / name / f"{number}.png", colour=10 * number)
    found = images.load_images(str(tmp_path))
    assert (found.classes, found.channels, found.size) == (("a", "b"), 1, 4)
    assert (len(found.train.labels), len(found.test.labels)) == (8, 2)  # 5 - 1 and 5 / 5 of each class


def test_folder_with_its_own_split_and_colour(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("val", 2)):
        for name in ("a", "b"):
            for number in range(count):
                write_image(tmp_path / part / name / f"{number}.png", (4, 6), (1, 2, 3), "RGB")
    found = images.load_images(str(tmp_path))
    assert (len(found.train.labels), len(found.test.labels), found.channels, found.size) == (6, 4, 3, None)
    pixels = found.test.pixels(np.array([3]), 5)
    assert pixels.shape == (1, 3, 5, 5)
    assert pixels[0, :, 0, 0].tolist() == [1, 2, 3]


def test_fingerprint_sees_content_and_class(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.png", colour=number)
    first = images.load_images(str(tmp_path)).fingerprint
    write_image(tmp_path / "a" / "0.png", colour=99)
    second = images.load_images(str(tmp_path)).fingerprint
    (tmp_path / "a").rename(tmp_path / "a2")
    assert len({first, second, images.load_images(str(tmp_path)).fingerprint}) == 3


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "0 class folders, expected 2"),
        ({"a/1.png": "image"}, "1 class folders, expected 2"),
        ({"a/1.png": "image", "b/notes.txt": "text"}, "b has no images"),
        ({"a/1.png": "image", "a/2.png": "image", "a/3.png": "image", "b/1.png": "text"}, "can't be read as an image"),
        ({"a/1.png": "image", "b/1.png": "image"}, "too few images"),
        (
            {"train/a/1.png": "image", "train/b/1.png": "image", "test/a/1.png": "image", "test/c/1.png": "image"},
            "differ in their classes: b, c",
        ),
    ],
)
def test_unusable_folder_is_an_error(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, kind in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "image":
            write_image(path)
        else:
            path.write_text("no image")
    with pytest.raises(DataError, match=message):
        images.load_images(str(tmp_path))


def test_truncated_image_is_an_error(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.bmp", (40, 40))
    broken = tmp_path / "a" / "0.bmp"
    broken.write_bytes(broken.read_bytes()[:-400])
    found = images.load_images(str(tmp_path))
    with pytest.raises(DataError, match=r"0\.bmp can't be read"):
        [part.pixels(np.arange(len(part.labels)), 8) for part in (found.train, found.test)]


@pytest.mark.fashion_mnist
@pytest.mark.skipif("ARCHLAB_DATA" not in os.environ, reason="ARCHLAB_DATA is not set")
def test_real_fashion_mnist() -> None:
    found = images.load_images("fashion-mnist")
    pixels = found.train.pixels(np.arange(60_000), None)
    assert round(float(pixels.mean()) / 255, 5) == 0.28604  # the published mean
    assert np.bincount(found.train.labels).tolist() == [6000] * 10
