"""Trainers of other libraries, tiny and with random weights; each skips where its library is not installed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import archlab
from archlab.store import open_store
from tests.training.watching.loops import IMAGES, LABELS, Net

State = dict[str, Tensor]
DATA = TensorDataset(IMAGES, LABELS)


def same(plain: State, watched: State) -> bool:
    """Whether two states are equal to the bit."""
    return plain.keys() == watched.keys() and all(torch.equal(plain[name], watched[name]) for name in plain)


def lightning_fit(*callbacks: Any, fail: bool = False) -> State:
    """Train by Lightning for 2 epochs of 3 steps; the parameters."""
    lightning = pytest.importorskip("lightning.pytorch")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = Net()

        def training_step(self, batch: list[Tensor], _: int) -> Tensor:
            if fail:
                raise ValueError("no more data")
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def validation_step(self, batch: list[Tensor], _: int) -> None:
            self.log("val_accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.01)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        module = Module()
        quiet = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            num_sanity_val_steps=0,
            callbacks=[*callbacks],
            **dict.fromkeys(quiet, False),
        )
        trainer.fit(module, DataLoader(DATA, 16), DataLoader(DATA, 48))
    return dict(module.state_dict())


def test_lightning(tmp_path: Path) -> None:
    plain = lightning_fit()
    callback = archlab.watching.lightning_callback(store=tmp_path, name="mine")
    assert same(plain, lightning_fit(callback))
    (record,) = open_store(tmp_path).runs()
    assert (record.status, record.config.network, record.config.variant) == ("finished", "Module", "mine")
    assert [epoch.step for epoch in record.epochs] == [3, 6]
    assert all(epoch.test_accuracy is not None and epoch.train_loss is not None for epoch in record.epochs)
    assert np.isfinite(open_store(tmp_path).curves(record.key)["train_loss"]).all()
    recording = open_store(tmp_path).recording(record.key)
    assert recording is not None
    assert set(recording.layers) == {"net.norm", "net.block.1"}


def test_lightning_that_fails(tmp_path: Path) -> None:
    pytest.importorskip("lightning.pytorch")
    callback = archlab.watching.lightning_callback(store=tmp_path)
    with pytest.raises(ValueError, match="no more data"):
        lightning_fit(callback, fail=True)
    (record,) = open_store(tmp_path).runs()
    assert (record.status, record.error) == ("failed", "ValueError: no more data")


class Pictures(Dataset[dict[str, Tensor]]):
    """The images as transformers wants them."""

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return {"images": IMAGES[place], "labels": LABELS[place]}


class WithLoss(Net):
    """The network as transformers wants it."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Any:
        """Loss and logits."""
        logits = super().forward(images)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return {"loss": loss, "logits": logits}


def trainer_fit(folder: Path, *callbacks: Any, **arguments: Any) -> State:
    """Train by transformers for 2 epochs of 3 steps; the parameters."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        settings = {
            "num_train_epochs": 2,
            "per_device_train_batch_size": 16,
            "eval_strategy": "epoch",
            "save_strategy": "no",
            "report_to": [],
            "use_cpu": True,
            "disable_tqdm": True,
            "logging_steps": 1,
        }
        torch.manual_seed(0)
        network = WithLoss()
        trainer = transformers.Trainer(
            network,
            transformers.TrainingArguments(str(folder / "out"), **(settings | arguments)),
            train_dataset=Pictures(),
            eval_dataset=Pictures(),
            callbacks=[*callbacks],
        )
        trainer.train()
    return dict(network.state_dict())


@pytest.mark.parametrize(("accumulated", "steps"), [(1, [3, 6]), (3, [1, 2])])
def test_trainer_of_transformers(accumulated: int, steps: list[int], tmp_path: Path) -> None:
    plain = trainer_fit(tmp_path, gradient_accumulation_steps=accumulated)
    callback = archlab.watching.trainer_callback(store=tmp_path / "store")
    assert same(plain, trainer_fit(tmp_path, callback, gradient_accumulation_steps=accumulated))
    (record,) = open_store(tmp_path / "store").runs()
    assert (record.status, record.config.network) == ("finished", "WithLoss")
    assert [epoch.step for epoch in record.epochs] == steps
    assert all(epoch.test_loss is not None for epoch in record.epochs)
    assert np.isfinite(open_store(tmp_path / "store").curves(record.key)["train_loss"]).all()


def test_accelerate(tmp_path: Path) -> None:
    accelerate = pytest.importorskip("accelerate")
    network = Net()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    tracker = archlab.watching.accelerate_tracker(network, optimizer, store=tmp_path)
    accelerator = accelerate.Accelerator(cpu=True, log_with=tracker)
    model, prepared, loader = accelerator.prepare(network, optimizer, DataLoader(DATA, 16))
    accelerator.init_trackers("project", {"batch_size": 16})
    for images, labels in loader:
        loss = nn.functional.cross_entropy(model(images), labels)
        prepared.zero_grad()
        accelerator.backward(loss)
        prepared.step()
        accelerator.log({"loss": loss.item()})
    accelerator.log({"eval_accuracy": 0.5})
    accelerator.end_training()
    (record,) = open_store(tmp_path).runs()
    assert record.status == "finished"
    assert [(epoch.step, epoch.test_accuracy) for epoch in record.epochs] == [(3, 0.5)]
    assert record.watched is not None
    assert record.watched.settings["batch_size"] == 16
    assert np.isfinite(open_store(tmp_path).curves(record.key)["train_loss"]).all()
