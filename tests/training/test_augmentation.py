from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from archlab.records import TrainingConfig
from archlab.training import seeding
from archlab.training.augmentation import Augmentation
from archlab.training.loop import Trainer
from tests.training.tiny import make_data, make_network

CPU = torch.device("cpu")
IMAGES = torch.arange(1, 1 + 40 * 2 * 5 * 4).reshape(40, 2, 5, 4).to(torch.float32)
ALL = torch.arange(40)


def augmented(epoch: int = 1, indices: Tensor = ALL, flip: float = 0.0, crop: int = 0, seed: int = 0) -> Tensor:
    config = TrainingConfig(flip=flip, crop=crop, seed=seed)
    return Augmentation(config, epoch, len(IMAGES), CPU)(IMAGES[indices], indices)


def test_nothing_is_done_by_default() -> None:
    assert torch.equal(augmented(), IMAGES)


def test_flips_mirror_left_to_right() -> None:
    assert torch.equal(augmented(flip=1.0), IMAGES.flip(-1))
    found = augmented(flip=0.5)
    mirrored = [torch.equal(one, other.flip(-1)) for one, other in zip(found, IMAGES, strict=True)]
    same = [torch.equal(one, other) for one, other in zip(found, IMAGES, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 10 <= sum(mirrored) <= 30  # of 40 by half: outside once in 900 seeds, and the seed is fixed


def test_crops_are_parts_of_the_image_in_a_black_frame() -> None:
    found, padding = augmented(crop=2), 2
    framed = torch.zeros(40, 2, 9, 8)  # 5 + 2 * 2, 4 + 2 * 2
    framed[:, :, 2:7, 2:6] = IMAGES
    shifts = set()
    for image, frame in zip(found, framed, strict=True):
        places = [(y, x) for y in range(5) for x in range(5) if torch.equal(image, frame[:, y : y + 5, x : x + 4])]
        shifts |= set(places)
        assert places  # each is one of (2 * 2 + 1) ** 2 parts, all channels alike
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(2 * padding + 1))


def test_crops_are_torchvision_s() -> None:
    functional = pytest.importorskip("torchvision.transforms.functional", reason="torchvision holds the reference")
    shifts = torch.randint(5, (40, 2), generator=torch.Generator().manual_seed(seeding.derive(0, "crop", 1)))
    padded = functional.pad(IMAGES, [2, 2, 2, 2])
    expected = [functional.crop(image, y, x, 5, 4) for image, (y, x) in zip(padded, shifts.tolist(), strict=True)]
    assert torch.equal(augmented(crop=2), torch.stack(expected))


def test_draws_follow_seed_epoch_and_image_alone() -> None:
    both = partial(augmented, flip=0.5, crop=2)
    whole = both()
    assert torch.equal(both(), whole)
    chosen = torch.tensor([7, 3, 31])
    assert torch.equal(both(indices=chosen), whole[chosen])  # whatever batch an image is in
    assert not torch.equal(both(epoch=2), whole)
    assert not torch.equal(both(seed=1), whole)
    # What is drawn for the one stays when the other is left out.
    flipped = augmented(flip=0.5)
    config = TrainingConfig(crop=2)
    assert torch.equal(Augmentation(config, 1, 40, CPU)(flipped, ALL), whole)


def test_precise_statistics_and_tests_see_images_as_they_are() -> None:
    """With a learning rate of next to nothing the weights stay, and only what is trained on is another."""
    data, config = make_data(50, 20), TrainingConfig(batch_size=16, epochs=1, learning_rate=1e-30)
    plain, shifted = (Trainer(seeding.build(make_network, 0), data, replace(config, crop=crop)) for crop in (0, 3))
    (first,), (second,) = list(plain.epochs()), list(shifted.epochs())
    assert first.train_loss != second.train_loss
    assert first.test_loss == second.test_loss
