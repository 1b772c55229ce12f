"""Images in the forms that people have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from archlab.errors import DataError
from archlab.networks.given import source_of
from archlab.normalisation.feeding import Feed, feed, prepared
from archlab.normalisation.terms import Terms

CPU = torch.device("cpu")
PIXELS, LABELS = torch.rand(40, 1, 8, 8), torch.arange(40) % 4
LOADER = """
import torch

def loader():
    for start in range(0, 40, 8):
        yield torch.full((8, 1, 8, 8), float(start)), torch.arange(8)

def broken():
    yield torch.zeros(8, 1, 8, 8), torch.arange(8)
    raise ValueError("the disk is gone")

def empty():
    return []
"""


def fed(data: Any, channels: int = 1, **terms: Any) -> Feed:
    source, chosen = source_of(nn.Conv2d(channels, 2, 3)), Terms(**terms)
    return feed(data, prepared(data, source, chosen), chosen)


@pytest.mark.parametrize(
    ("data", "labelled"),
    [
        (PIXELS, False),
        ((PIXELS, LABELS), True),
        (list(zip(torch.split(PIXELS, 8), torch.split(LABELS, 8), strict=True)), True),
        (list(torch.split(PIXELS, 8)), False),
        (
            [
                {"pixel_values": PIXELS[:20], "labels": LABELS[:20]},
                {"pixel_values": PIXELS[20:], "labels": LABELS[20:]},
            ],
            True,
        ),
        (TensorDataset(PIXELS, LABELS), True),
        (DataLoader(TensorDataset(PIXELS, LABELS), batch_size=16), True),
        (lambda: iter(torch.split(PIXELS, 10)), False),
    ],
)
def test_a_third_of_the_images_is_tested_and_the_others_are_for_statistics(data: Any, labelled: bool) -> None:
    given = fed(data, images=40)
    assert (len(given.statistics), len(given.tested)) == (27, 13)
    assert (given.tested.labels is not None) is labelled
    assert given.classes == (4 if labelled else 0)
    together = torch.cat([batch for stack in (given.statistics, given.tested) for batch in stack.batches(8, CPU)])
    assert sorted(together.sum((1, 2, 3)).tolist()) == sorted(PIXELS.sum((1, 2, 3)).tolist())


def test_a_file_with_a_loader_is_a_source_of_images(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOADER)
    given = fed(f"{tmp_path / 'mine.py'}:loader", images=24)
    assert (len(given.statistics), len(given.tested), given.classes) == (16, 8, 8)
    with pytest.raises(DataError, match="the disk is gone"):
        fed(f"{tmp_path / 'mine.py'}:broken")
    with pytest.raises(DataError, match="gives 0 images, expected 16 or more"):
        fed(f"{tmp_path / 'mine.py'}:empty")


@pytest.mark.parametrize(
    ("data", "phrase"),
    [
        (7, "type int: expected batches"),
        ([torch.zeros(20, 5)], "expected \\(images, channels, height, width\\)"),
        (["a", "b"], "type str"),
        ([torch.zeros(20, 1, 8, 8), torch.zeros(20, 1, 9, 9)], "several shapes"),
    ],
)
def test_what_is_no_images_is_refused(data: Any, phrase: str) -> None:
    with pytest.raises(DataError, match=phrase):
        fed(data)


def test_grey_images_fill_three_channels_and_that_is_said() -> None:
    given = fed("digits", channels=3, images=40)
    batch = next(given.tested.batches(4, CPU))
    assert batch.shape == (4, 3, 8, 8)
    assert torch.equal(batch[:, 0], batch[:, 2])
    assert given.fitting == ("Grey images are repeated into 3 channels.",)


def test_a_folder_is_resized_as_it_is_asked_for(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for place in range(10):
            pixels = np.full((12, 12, 3), 10 * place, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{place}.png")
    given = fed(str(tmp_path), channels=3, size=6, images=40)
    assert (len(given.statistics), len(given.tested), given.classes) == (16, 4, 2)
    assert next(given.tested.batches(4, CPU)).shape == (4, 3, 6, 6)
    assert given.fitting == ("Images are resized to 6 x 6.",)


def test_a_last_batch_of_one_goes_with_the_one_before() -> None:
    given = fed(PIXELS, images=27)
    assert [len(batch) for batch in given.tested.batches(8, CPU)] == [9]
