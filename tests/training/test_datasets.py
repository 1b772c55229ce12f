from pathlib import Path

import numpy as np
import pytest
import torch

from archlab.errors import DataError
from archlab.training import datasets, images
from tests.training.test_images import write_image


def test_prepared_digits() -> None:
    data = datasets.prepare(images.load_images("digits"), 28)
    assert data.image_shape == (1, 28, 28)
    assert (len(data.train), len(data.test)) == (1438, 359)
    assert data.train.images.dtype == torch.uint8


def test_resizing_is_pillows_bilinear() -> None:
    from PIL import Image

    found = images.load_images("digits")
    for size in (28, 5):
        data = datasets.prepare(found, size, train_samples=20)
        own = datasets.prepare(found, None, train_samples=20)
        for image, resized in zip(own.train.images, data.train.images, strict=True):
            expected = Image.fromarray(image[0].numpy()).resize((size, size), Image.Resampling.BILINEAR)
            assert np.abs(np.asarray(expected).astype(int) - resized[0].numpy()).max() <= 1  # of 255: rounding


def test_batches_are_as_to_tensor_makes_them() -> None:
    from torchvision.transforms import ToTensor

    data = datasets.prepare(images.load_images("digits"), None, train_samples=10)
    batch, labels = data.train.batch(torch.tensor([3, 1]))
    for place, index in enumerate((3, 1)):
        expected = ToTensor()(data.train.images[index].permute(1, 2, 0).numpy())
        assert torch.equal(batch[place], expected)
        assert labels[place] == data.train.labels[index]


def test_subset_is_fixed_and_nested() -> None:
    found = images.load_images("digits")
    small, large = (datasets.prepare(found, None, train_samples=count, test_samples=5) for count in (10, 40))
    assert (len(small.train), len(small.test)) == (10, 5)
    rows = {tuple(image.flatten().tolist()) for image in large.train.images}
    assert all(tuple(image.flatten().tolist()) in rows for image in small.train.images)
    assert small.fingerprint == large.fingerprint == found.fingerprint


@pytest.mark.parametrize("samples", [0, -1, 1439])
def test_subset_out_of_range(samples: int) -> None:
    with pytest.raises(DataError, match=rf"train_samples is {samples}, expected 1 to 1438"):
        datasets.prepare(images.load_images("digits"), None, train_samples=samples)


def test_images_of_different_sizes_need_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.png", (4 + number, 4))
    found = images.load_images(str(tmp_path))
    with pytest.raises(DataError, match="differ in size: name one"):
        datasets.prepare(found, None)
    assert datasets.prepare(found, 6).image_shape == (1, 6, 6)


def test_equal_images_that_are_no_squares_are_not_called_different(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for number in range(3):
            write_image(tmp_path / name / f"{number}.png", (6, 4))  # width, height
    found = images.load_images(str(tmp_path))
    with pytest.raises(DataError, match="are 4 pixels high and 6 wide, expected squares: name a size"):
        datasets.prepare(found, None)
    assert datasets.prepare(found, 8).image_shape == (1, 8, 8)


def test_pieces_join(monkeypatch: pytest.MonkeyPatch) -> None:
    found = images.load_images("digits")
    whole = datasets.prepare(found, 12, train_samples=25)
    monkeypatch.setattr(datasets, "RESIZED_IMAGES", 10)  # 10 + 10 + 5
    assert torch.equal(datasets.prepare(found, 12, train_samples=25).train.images, whole.train.images)
