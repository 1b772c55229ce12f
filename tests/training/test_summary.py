from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from archlab.training import summary
from archlab.training.datasets import Dataset, Split, prepare
from archlab.training.images import load_images
from archlab.training.summary import summarise

DIGITS = prepare(load_images("digits"), 8)


def made(train: list[int], test: list[int], train_labels: list[int], test_labels: list[int]) -> Dataset:
    """Images of 2 x 2 pixels, all of one value each, of three classes."""

    def split(values: list[int], labels: list[int]) -> Split:
        images = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 2, 2)
        return Split(images, torch.tensor(labels))

    return Dataset(split(train, train_labels), split(test, test_labels), ("a", "b", "c"), "")


def test_numbers_of_images_that_can_be_summed_by_hand() -> None:
    found = summarise(made([0, 51, 102, 255], [51, 204], [0, 0, 1, 1], [0, 1]))
    assert (found.train.counts, found.test.counts) == ((2, 2, 0), (1, 1, 0))
    # (0 + .2 + .4 + 1) / 4 = .4; (.16 + .04 + 0 + .36) / 4 = .14
    assert found.train.mean == pytest.approx((0.4,))
    assert found.train.deviation == pytest.approx((0.14**0.5,))
    assert found.train.spread == pytest.approx((0.14**0.5,))  # each image is of one value
    # class means .1 and .7 about .4: 2 * .09 * 2 / 1; within: 2 * .01 + 2 * .09, over 4 - 2; all times 4 pixels
    assert found.train.separation == pytest.approx(0.36 / 0.1, rel=1e-4)
    assert found.test.separation is None  # as many classes as images
    assert (found.duplicates, found.mislabelled) == (1, 0)
    # .2 is nearer to .1, .8 to .7; there is no third class
    assert found.nearest == (0, 1, -1)


def test_a_duplicate_of_another_class_is_mislabelled() -> None:
    found = summarise(made([0, 51, 51], [51, 51, 0, 7], [0, 1, 2], [2, 0, 0, 0]))
    assert (found.duplicates, found.mislabelled) == (3, 1)


def test_channels_are_told_apart_and_a_strided_image_is_read() -> None:
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).repeat(4, 2, 2, 1).permute(0, 3, 1, 2)
    split = Split(images, torch.tensor([0, 1, 0, 1]))
    found = summarise(Dataset(split, split, ("a", "b"), ""))
    assert found.train.mean == pytest.approx((0, 0.2, 1))
    assert found.train.deviation == pytest.approx((0, 0, 0), abs=1e-7)
    assert found.duplicates == 4
    assert found.train.separation is None


def relabelled(change: Callable[[Tensor], Tensor]) -> Dataset:
    return replace(DIGITS, train=Split(DIGITS.train.images, change(DIGITS.train.labels)))


def test_labels_drawn_at_random_separate_as_chance_does() -> None:
    draws = torch.Generator().manual_seed(0)
    shuffled = relabelled(lambda labels: labels[torch.randperm(len(labels), generator=draws)])
    separation = summarise(shuffled).train.separation
    assert separation == pytest.approx(1, abs=0.3)
    own = summarise(DIGITS).train.separation
    assert own is not None
    assert own > 50


def test_classes_in_another_order_are_nearest_to_others() -> None:
    moved = replace(DIGITS, test=Split(DIGITS.test.images, (DIGITS.test.labels + 1) % 10))
    assert summarise(moved).nearest == tuple((place - 1) % 10 for place in range(10))


def test_large_images_and_many_are_summarised_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summarise(DIGITS)
    monkeypatch.setattr(summary, "PIECE", 100)
    monkeypatch.setattr(summary, "SIDE", 4)
    pieces = summarise(DIGITS)
    assert pieces.train.mean == pytest.approx(whole.train.mean, rel=1e-6)
    assert pieces.nearest == whole.nearest
    monkeypatch.setattr(summary, "SUMMARISED", 500)
    assert summarise(DIGITS).train.mean == pytest.approx(whole.train.mean, abs=0.01)
    assert summarise(DIGITS).train.counts == whole.train.counts
