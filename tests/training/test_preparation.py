"""What a run is made of is settled once."""

from __future__ import annotations

from pathlib import Path

import pytest

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
