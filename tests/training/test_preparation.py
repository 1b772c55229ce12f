"""What a run is made of is settled once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.training import Execution, estimate_time, images, train
from archlab.training.preparation import Preparer

FILE = """
from pathlib import Path
from torch import nn

with Path(__file__).with_suffix(".log").open("a") as log:
    log.write("run\\n")

def make(width: int = 2, classes: int = 10) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, classes))
"""


@pytest.fixture
def configs(tmp_path: Path) -> list[TrainingConfig]:
    path = tmp_path / "net.py"
    path.write_text(FILE)
    return [
        TrainingConfig(f"{path}:make", options={"width": width}, seed=seed, train_samples=64, test_samples=20)
        for seed in (0, 1)
        for width in (2, 3)
    ]


def test_a_file_is_run_once_however_many_runs_it_makes(configs: list[TrainingConfig], tmp_path: Path) -> None:
    preparer = Preparer(Execution(device="cpu"))
    widths = [preparer.prepare(config).network()[1].out_features for config in configs]  # type: ignore[index]
    assert widths == [2, 3, 2, 3]
    Preparer(Execution(device="cpu")).prepare(configs[0])  # another command in the same process
    assert (tmp_path / "net.log").read_text() == "run\n"


def test_a_data_set_is_read_once_and_its_tensors_are_kept(
    configs: list[TrainingConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = images.load_images

    def count(dataset: str, *given: object, **named: object) -> images.Images:
        read.append(dataset)
        return original(dataset)

    monkeypatch.setattr(images, "load_images", count)
    preparer = Preparer(Execution(device="cpu"))
    datasets = [preparer.dataset(preparer.prepare(config)) for config in configs]
    assert read == ["digits"]
    assert all(dataset is datasets[0] for dataset in datasets)


def test_a_network_gets_what_it_asks_for_of_the_data(configs: list[TrainingConfig]) -> None:
    prepared = Preparer(Execution(device="cpu")).prepare(configs[1])
    assert prepared.source.options == {"classes": 10, "width": 3}
    assert prepared.image_shape == (1, 8, 8)
    assert prepared.samples == (64, 20)


SHARED = """
from torch import nn

network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def make() -> nn.Module:
    return network
"""


def test_what_a_factory_shares_is_trained_by_no_run(tmp_path: Path) -> None:
    (tmp_path / "shared.py").write_text(SHARED)
    config = TrainingConfig(f"{tmp_path / 'shared.py'}:make", epochs=1, train_samples=64, test_samples=20)
    estimate_time([config], Execution(device="cpu"))
    first, second = (train(config, device="cpu") for _ in range(2))
    assert first.key == second.key
    assert first.epochs[0].train_loss == second.epochs[0].train_loss


LAZY = """
from torch import nn

def make(kernel: int = 3, lazy: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, kernel) if lazy else nn.Conv2d(1, 4, kernel),
        nn.LazyBatchNorm2d() if lazy else nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.LazyLinear(10) if lazy else nn.Linear(144, 10),
    )
"""


@pytest.fixture
def lazy(tmp_path: Path) -> TrainingConfig:
    path = tmp_path / "lazy.py"
    path.write_text(LAZY)
    return TrainingConfig(f"{path}:make", size=8, epochs=1, train_samples=64, test_samples=20)


def test_lazy_layers_get_their_sizes_from_an_image_and_the_weights_of_others(lazy: TrainingConfig) -> None:
    states = [
        Preparer(Execution(device="cpu")).prepare(replace(lazy, options={"lazy": value})).network().state_dict()
        for value in (True, False)
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    assert train(lazy).parameters == 40 + 8 + 1450  # 4 * 9 + 4, 2 * 4, 144 * 10 + 10
    assert Preparer(Execution(device="cpu")).prepare(lazy).network("meta")[3].in_features == 144  # type: ignore[index]


def test_lazy_layers_that_no_image_fits_are_an_error(lazy: TrainingConfig) -> None:
    config = replace(lazy, options={"kernel": 9})
    with pytest.raises(
        InputError, match=r"has lazy layers, .* fails on an image of shape \(1, 1, 8, 8\): RuntimeError"
    ):
        Preparer(Execution(device="cpu")).prepare(config).network()
