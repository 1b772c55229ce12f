"""What a user would run instead of archlab: three ways to train the networks of a comparison, without recording.

Each takes the same configurations, trains the same networks on the same images with the same mathematics, and gives the
accuracy over the last epoch and on the test images after it. None of them records anything else.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from json import dumps, loads
from pathlib import Path
from typing import Any

from archlab.records import TrainingConfig
from archlab.training.execution import Execution
from archlab.training.preparation import Preparer

Accuracies = list[tuple[float, float]]
"""Of each configuration: in training, over the last epoch, and on the test images."""


def course(configs: Sequence[TrainingConfig], data_dir: str, device: str) -> Accuracies:
    """The course's loop: a DataLoader with two workers that transforms one image at a time, `loss.item()` every step,
    one run after the other, torch with its default number of threads."""
    return [_course_run(config, data_dir, device) for config in configs]


def _course_run(config: TrainingConfig, data_dir: str, device: str) -> tuple[float, float]:
    import torch
    from torch.utils.data import DataLoader

    torch.manual_seed(config.seed)
    train_part, test_part = _torchvision_parts(config, data_dir)
    train_batches = DataLoader(train_part, config.batch_size, shuffle=True, num_workers=2)
    test_batches = DataLoader(test_part, config.batch_size, num_workers=2)
    network = _network(config).to(device)
    measure = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for _ in range(config.epochs):
        network.train()
        loss_sum, right, seen = 0.0, 0, 0
        for images, labels in train_batches:
            images, labels = images.to(device), labels.to(device)
            logits = network(images)
            loss = measure(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
            right += (logits.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
        network.eval()
        test_right, test_seen = 0, 0
        with torch.no_grad():
            for images, labels in test_batches:
                images, labels = images.to(device), labels.to(device)
                test_right += (network(images).argmax(dim=1) == labels).sum().item()
                test_seen += len(labels)
    return right / seen, test_right / test_seen


def in_memory(configs: Sequence[TrainingConfig], data_dir: str, device: str) -> Accuracies:
    """What somebody who knows torch writes: a process per core with one thread, all images in memory as float32, fused
    Adam, no value read back within an epoch, one evaluation per epoch; each process trains its share of the runs."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [configs[place::cores] for place in range(min(cores, len(configs)))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.loops", data_dir, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            text=True,
        )
        for _ in shares
    ]
    for process, share in zip(processes, shares, strict=True):
        assert process.stdin is not None
        process.stdin.write(dumps([asdict(config) for config in share]))
        process.stdin.close()
    found: list[tuple[float, float]] = [(0.0, 0.0)] * len(configs)
    for place, process in enumerate(processes):
        assert process.stdout is not None
        found[place :: len(processes)] = [(train, test) for train, test in loads(process.stdout.read())]
        process.wait()
    return found


def _in_memory_run(config: TrainingConfig, images: dict[str, Any], device: str) -> tuple[float, float]:
    import torch
    from torch.nn import functional as F

    torch.manual_seed(config.seed)
    network = _network(config).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    (train_images, train_labels), (test_images, test_labels) = images["train"], images["test"]
    for _ in range(config.epochs):
        network.train()
        right = torch.zeros((), dtype=torch.int64, device=device)
        for places in torch.randperm(len(train_labels), device=device).split(config.batch_size):  # type: ignore[no-untyped-call]
            labels = train_labels[places]
            logits = network(train_images[places])
            loss = F.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            right += (logits.argmax(1) == labels).sum()
        network.eval()
        with torch.inference_mode():
            tested = torch.cat([network(batch).argmax(1) for batch in test_images.split(256)])
    return right.item() / len(train_labels), (tested == test_labels).float().mean().item()


def lightning(configs: Sequence[TrainingConfig], data_dir: str, device: str) -> Accuracies:
    """PyTorch Lightning's Trainer as its guide has it: a DataLoader with two workers that stay, the loss and the
    accuracies logged, no checkpoint and no bar, one run after the other."""
    return [_lightning_run(config, data_dir, device) for config in configs]


def _lightning_run(config: TrainingConfig, data_dir: str, device: str) -> tuple[float, float]:
    import torch
    from torch import Tensor
    from torch.nn import functional as F
    from torch.utils.data import DataLoader

    library: Any = import_module("lightning")

    class Classifier(library.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = _network(config)

        def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            images, labels = batch
            logits = self.network(images)
            loss = F.cross_entropy(logits, labels)
            self.log("train", (logits.argmax(1) == labels).float().mean(), on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
            images, labels = batch
            self.log("test", (self.network(images).argmax(1) == labels).float().mean())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=config.learning_rate)

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    library.seed_everything(config.seed, verbose=False)
    train_part, test_part = _torchvision_parts(config, data_dir)
    trainer = library.Trainer(
        max_epochs=config.epochs,
        accelerator="gpu" if device.startswith("cuda") else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Classifier(),
        DataLoader(train_part, config.batch_size, shuffle=True, num_workers=2, persistent_workers=True),
        DataLoader(test_part, config.batch_size, num_workers=2, persistent_workers=True),
    )
    return float(trainer.callback_metrics["train"]), float(trainer.callback_metrics["test"])


LOOPS: dict[str, Callable[[Sequence[TrainingConfig], str, str], Accuracies]] = {
    "course": course,
    "memory": in_memory,
    "lightning": lightning,
}


def _network(config: TrainingConfig) -> Any:
    from archlab import build

    return build(config.network, **config.options)


def _torchvision_parts(config: TrainingConfig, data_dir: str) -> tuple[Any, Any]:
    """The training and the test images of Fashion-MNIST as torchvision gives them, one by one."""
    from torch.utils.data import Subset
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    from archlab.training.datasets import subset

    resize = [] if config.size is None else [transforms.Resize(config.size)]
    transform = transforms.Compose([*resize, transforms.ToTensor()])
    train, test = (FashionMNIST(data_dir, train=train, transform=transform) for train in (True, False))
    return (
        Subset(train, subset(len(train), config.train_samples or len(train)).tolist()),
        Subset(test, subset(len(test), config.test_samples or len(test)).tolist()),
    )


def _main() -> None:
    """Train the share of one process: configurations as JSON on standard input, accuracies on standard output."""
    import torch

    torch.set_num_threads(1)
    configs = [TrainingConfig(**values) for values in loads(sys.stdin.read())]
    data_dir, device = sys.argv[1:]
    preparer = Preparer(Execution(store=Path(os.devnull).parent, data_dir=data_dir, device=device))
    prepared = preparer.prepare(configs[0])
    dataset = preparer.dataset(prepared)
    images = {
        name: (split.images.to(torch.float32).div_(255), split.labels)
        for name, split in (("train", dataset.train), ("test", dataset.test))
    }
    print(dumps([_in_memory_run(config, images, device) for config in configs]))


if __name__ == "__main__":
    _main()
