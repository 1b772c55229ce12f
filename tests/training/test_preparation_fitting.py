"""How networks and images are fitted to one another: channels, classes, normalisation, surgery."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from archlab.errors import DataError, InputError
from archlab.records import TrainingConfig, Value
from archlab.records.settings import keyed, settings
from archlab.training import Execution
from archlab.training.preparation import Preparer, notes
from tests.networks.test_operating import NET

GREY = """
from torch import nn

def grey(num_classes=3):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, num_classes))
"""


@pytest.fixture(name="file")
def net_file(tmp_path: Path) -> str:
    path = tmp_path / "net.py"
    path.write_text(NET + GREY)
    return str(path)


def config(network: str, options: dict[str, Value] | None = None, **chosen: object) -> TrainingConfig:
    usual = {"size": 8, "train_samples": 8, "test_samples": 4}
    return TrainingConfig(network, options or {}, **{**usual, **chosen})  # type: ignore[arg-type]


def preparer() -> Preparer:
    return Preparer(Execution())


def test_grey_images_fill_the_three_channels_that_a_network_takes(file: str) -> None:
    where = preparer()
    run = where.prepare(config(f"{file}:build"))
    assert run.image_shape == (3, 8, 8)
    images, _ = where.dataset(run).train.batch(torch.arange(8))
    assert images.shape == (8, 3, 8, 8)
    assert torch.equal(images[:, 0], images[:, 2])
    assert notes([run.config], where) == [
        f"The grey images of digits are repeated in the 3 channels that {file}:build takes."
    ]
    assert run.network()(images).shape == (8, 10)


def test_a_network_of_one_channel_is_given_one(file: str) -> None:
    where = preparer()
    run = where.prepare(config(f"{file}:grey"))
    assert run.image_shape == (1, 8, 8)
    assert notes([run.config], where) == []


def test_classes_follow_the_data_whatever_their_option_is_called(file: str) -> None:
    run = preparer().prepare(config(f"{file}:grey"))
    assert run.source.options == {"num_classes": 10}
    assert run.config.options == {}
    with pytest.raises(InputError, match="was given num_classes=4, and the images of digits need num_classes=10"):
        preparer().prepare(config(f"{file}:grey", {"num_classes": 4}))
    run = preparer().prepare(config("torchvision:squeezenet1_1", size=32))
    assert run.source.options == {"num_classes": 10}
    assert run.image_shape == (3, 32, 32)


@pytest.mark.parametrize("norm", ["none", "group", "scratch", "frozen"])
def test_surgery_leaves_all_other_first_weights(file: str, norm: str) -> None:
    where = preparer()
    plain = where.prepare(config(f"{file}:build")).network()
    changed = where.prepare(config(f"{file}:build", {"norm": norm, "skip": "off"})).network()
    for name in ("conv.weight", "second.weight", "second.bias", "head.weight", "head.bias"):
        assert torch.equal(plain.get_parameter(name), changed.get_parameter(name))


def test_images_are_normalised_by_the_training_images() -> None:
    where = preparer()
    plain = where.dataset(where.prepare(config("lenet", train_samples=100)))
    scaled = where.dataset(where.prepare(config("lenet", train_samples=100, normalise="data")))
    raw, places = plain.train.batch(torch.arange(100))[0], torch.arange(4)
    images = scaled.train.batch(torch.arange(100))[0]
    assert images.mean().item() == pytest.approx(0, abs=1e-5)
    assert images.std(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    # Test images by the training images' constants, not by their own.
    expected = (plain.test.batch(places)[0] - raw.mean()) / raw.std(unbiased=False)
    torch.testing.assert_close(scaled.test.batch(places)[0], expected, rtol=1e-4, atol=1e-5)


def test_imagenets_constants_are_for_three_channels(file: str) -> None:
    where = preparer()
    run = where.prepare(config(f"{file}:build", normalise="imagenet"))
    plain = where.dataset(where.prepare(config(f"{file}:build"))).train.batch(torch.arange(8))[0]
    images = where.dataset(run).train.batch(torch.arange(8))[0]
    torch.testing.assert_close(images[:, 0], (plain[:, 0] - 0.485) / 0.229)
    with pytest.raises(DataError, match=r"have 1 channel.*--normalise data"):
        where.dataset(where.prepare(config("lenet", normalise="imagenet")))


def test_what_is_changed_of_an_image_is_changed_before_it_is_normalised() -> None:
    where = preparer()
    split = where.dataset(where.prepare(config("lenet", normalise="data"))).train
    black, _ = split.batch(torch.arange(2), lambda images, _: torch.zeros_like(images))
    assert split.scaling is not None
    torch.testing.assert_close(black, split.scaling(torch.zeros(2, 1, 8, 8)))


def test_without_normalisation_a_run_keeps_its_key() -> None:
    known = settings(TrainingConfig).values()
    assert "normalise" not in keyed({"normalise": "none"}, known)
    assert keyed({"normalise": "data"}, known) == {"normalise": "data"}
