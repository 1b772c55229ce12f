"""The training loop: cross-entropy, whole epochs in a fresh order, the last partial batch kept.

The mathematics is the course's by default: Adam at one learning rate, images as they are. Where the settings say so, it
is the papers': other optimisers, schedules, label smoothing, mirrored and shifted images. What is gone is the waiting:
images lie on the device as bytes, no step reads a value back, losses and predictions stay on the device until the epoch
ends, and all parameters are updated in one call.

Determinism: with equal configuration, seed, machine, versions and number of threads, training on a CPU gives the same
bits each time. Accelerators add some sums in an order that changes, so that runs agree up to rounding.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archlab.errors import DivergedError
from archlab.networks import members
from archlab.records import Epoch, NormRecording, Probes, TrainingConfig
from archlab.training import seeding
from archlab.training.augmentation import Augmentation
from archlab.training.checkpoint import NetworkState, UnkeptError
from archlab.training.datasets import Dataset
from archlab.training.evaluation import Tester, logits_of, now
from archlab.training.kernels import fit
from archlab.training.norm_uses import NormObserver, is_looked_at, with_recorded
from archlab.training.norms import norm_layers
from archlab.training.optimizers import optimizer
from archlab.training.probes.looking import Probing
from archlab.training.probes.surface import PROBED_IMAGES
from archlab.training.recorder import RunRecorder
from archlab.training.recording import NormRecorder
from archlab.training.schedules import learning_rates
from archlab.training.step import Course, Step, driven

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

CHECK_STEPS = 100
"""Steps between two looks at whether the losses are finite; each look waits for the device."""
LOOK_IMAGES = 64
"""Training images of the look at the end, or a batch, if that has more. A class's unit, of ten, is silent for all of 64
images once in 850 looks (0.9^64)."""
LOOK_VALUES = LOOK_IMAGES * 3 * 64 * 64
"""Values of all its images, or a batch, if that has more: large images may fill the memory."""


class Trainer:
    """Trains a network on a data set, epoch by epoch. The network's weights change in place."""

    def __init__(self, network: nn.Module, dataset: Dataset, config: TrainingConfig) -> None:
        device = dataset.train.images.device
        self._network = fit(members.set_training(network, True), config, dataset.image_shape, device)
        self._dataset = dataset
        self._config = config
        self._device = device
        trainable = [parameter for parameter in members.parameters(network) if parameter.requires_grad]
        self._optimizer = optimizer(config, trainable)
        self._norms = norm_layers(network)
        self._uses = NormObserver(network, trainable)
        if config.momentum is not None:
            for layer in self._norms:
                layer.set_share(config.momentum)
        self.parameters = sum(parameter.numel() for parameter in members.parameters(network))
        self.steps_per_epoch = math.ceil(len(dataset.train) / config.batch_size)
        self._rates = learning_rates(config, self.steps_per_epoch)
        steps = config.epochs * self.steps_per_epoch
        self._steps = steps
        self._measured = 0  # steps whose accuracy is known
        self._checked = 0  # steps whose loss is known to be finite
        self._order = self._predictions = torch.empty(0, dtype=torch.int64, device=self._device)  # of this epoch
        self._place = 0  # in the order of this epoch
        self._draws: dict[str, Any] | None = None  # random states, where they aren't the process's own
        self._aside: dict[str, Any] = {}  # of the network, where it isn't what it has now
        self._seconds, self._started = 0.0, math.nan  # NaN between epochs
        self.ended: list[Epoch] = []
        """The epochs so far."""
        norms: NormRecorder | None = None
        if self._norms and config.record_every:
            norms = NormRecorder(self._norms, config.record_every, config.epochs, self.steps_per_epoch)
        self.recorder = RunRecorder(
            self._device,
            norms,
            steps=steps,
            probes=self.probes,
            looks=lambda: 0 if self._probing is None else self._probing.looks,
            uses=self._with_uses,
            settle=self._measure_accuracies,
        )
        self._probing: Probing | None = None
        self._ending: Probing | None = None  # looks once, at the end
        self._probing_seconds = 0.0
        self._tester = Tester(network, dataset, config, self._norms, self._uses)
        self._held = NetworkState(network)
        if config.probe_every or config.landscape:
            self._probing = Probing(network, lambda images: self._forward(network, images), dataset.train, config)

    def epochs(
        self, on_step: Callable[[int], None] = lambda step: None, on_batch: Callable[[], None] = lambda: None
    ) -> Iterator[Epoch]:
        """Train, and yield the measurements of each epoch as it ends, until the configuration's target is reached.

        Args:
            on_step: called after each step with the number of steps so far.
            on_batch: called after each batch that is only measured on.

        Raises:
            DivergedError: the loss is not finite any more.
            RunError: the network fails on a batch.
        """
        while not self.has_ended:
            yield driven(self.epoch(on_step, on_batch))

    @property
    def has_ended(self) -> bool:
        """Whether no epoch is left: all have been trained, or the configuration's target is reached."""
        target = self._config.target
        reached = target is not None and self.ended and target.is_reached(self.ended[-1])
        return bool(reached) or len(self.ended) >= self._config.epochs

    def epoch(self, on_step: Callable[[int], None], on_batch: Callable[[], None]) -> Course[Epoch]:
        """The next epoch, as `epochs` trains it, by whoever takes its steps. Those that are looked at it takes itself.

        Raises:
            DivergedError: the loss is not finite any more.
            RunError: the network fails on a batch.
        """
        self._tester.on_batch = on_batch
        try:
            if not self.steps_done:
                self._probe(0, ended=True)
            epoch = len(self.ended) + 1
            with seeding.preserved(self._device):
                if self._draws is None:
                    seeding.reseed(self._config.seed, "layers", epoch)
                else:
                    seeding.set_states(self._draws, self._device)
                self._draws, self._aside, self._started = None, {}, self._now() - self._probing_seconds
                loss, accuracy = yield from self._train(epoch, on_step)
                self._seconds, self._started = self._spent(), math.nan
                self.hold()
                tested, moments = self._tester.test(epoch, self.steps_done)
            if moments is not None:
                self.recorder.add_population(moments)
            self.ended.append(
                Epoch(epoch, self.steps_done, self._seconds, train_loss=loss, train_accuracy=accuracy, **tested)
            )
            self._place, self._draws, self._aside = 0, None, {}
            return self.ended[-1]
        finally:
            self._uses.detach()

    def _spent(self) -> float:
        """Seconds of training so far, without probes."""
        running = self._now() - self._probing_seconds - self._started
        return self._seconds + (0.0 if math.isnan(running) else running)

    def hold(self, *, weights: bool = False) -> None:
        """Have `state` give random states, and the network's own, as they are now, whatever they are when it is called.

        For a training that is stopped by an exception: on its way out it puts back the process's random states. And a
        test may be stopped half-way, which draws, and changes whatever a network changes in each pass; or a landscape,
        which moves the weights too.
        """
        self._draws = seeding.states(self._device)
        with contextlib.suppress(UnkeptError):  # which `state` tells
            self._aside = self._held.aside(weights=weights)

    def state(self) -> dict[str, Any]:
        """All that the training's course depends on, after a step or between epochs, as a tree of plain values.

        Raises:
            UnkeptError: the network holds something that can't be written down.
        """
        self._measure_accuracies()
        network = self._held.state()
        if self._aside:
            network = {"tensors": network["tensors"] | self._aside["tensors"], "attributes": self._aside["attributes"]}
        return {
            "network": network,
            "optimizer": self._optimizer.state(),
            "recorder": self.recorder.state(),
            "uses": self._uses.state(),
            "probing": None if self._probing is None else self._probing.state(),
            "ending": None if self._ending in (None, self._probing) else self._ending.state(),
            "is_ending": self._ending is not None,
            "epochs": [asdict(epoch) for epoch in self.ended],
            "place": self._place,
            "predictions": self._predictions[: self._place * self._config.batch_size],
            "checked": self._checked,
            "draws": self._draws or (seeding.states(self._device) if self._place else None),
            "seconds": self._spent(),
            "probing_seconds": self._probing_seconds,
            "left_out": self._tester.left_out,
            "predicted": self.predicted,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where the training was whose state it is; before the first step of this one.

        Raises:
            KeyError: the state is of another training.
        """
        self._held.restore(state["network"])
        self._optimizer.restore(state["optimizer"])
        self.recorder.restore(state["recorder"])
        self._uses.restore(state["uses"])
        if self._probing is not None:
            self._probing.restore(state["probing"])
        if state["is_ending"]:
            self._ending = self._last_look()
            if self._ending is not self._probing:
                self._ending.restore(state["ending"])
        self.ended = [Epoch(**epoch) for epoch in state["epochs"]]
        self._measured, self._checked, self._place = self.steps_done, state["checked"], state["place"]
        self._draws, self._seconds = state["draws"], state["seconds"]
        self._probing_seconds, self._tester.left_out = state["probing_seconds"], state["left_out"]
        self._tester.predicted = state["predicted"]
        if self._place:
            split = self._dataset.train
            self._order = seeding.order(self._config.seed, len(self.ended) + 1, len(split)).to(self._device)
            self._predictions = torch.empty_like(self._order)
            known = state["predictions"].to(self._device)
            self._predictions[: len(known)] = known

    def curves(self, since: int = 0) -> dict[str, Array]:
        """Arrays by step so far; `StepCurves.arrays` says which. Waits for the device."""
        return self.recorder.curves(since)

    def divergence(self) -> str:
        """Why the training, which came to its end, has diverged; empty where it hasn't."""
        return self.recorder.divergence(len(self._dataset.classes))

    def recording(self) -> NormRecording | None:
        """What the BatchNorm layers held, and how they were used; None where there are none."""
        return self.recorder.recording()

    def _with_uses(self, held: NormRecording | None) -> NormRecording | None:
        if not self._uses:
            return None
        return with_recorded(held or NormRecording((), {}), self._uses.uses(), self._tester.left_out)

    def measure_landscape(self, on_point: Callable[[int], None] = lambda point: None) -> None:
        """Measure the landscape around the weights as they are, where the configuration asks for it.

        Args:
            on_point: called after each of its points with the number of points so far.
        """
        if self._probing is not None and self._config.landscape:
            self.hold(weights=True)
            self._probing.measure_landscape(on_point)

    def look_at_end(self) -> None:
        """Look once at the signals of all layers as they are, if no probe has just done so. Nothing is changed."""
        if self._ending is not None:
            # A diagnosis must not fail a training: what a stranger's network refuses is left out.
            with contextlib.suppress(Exception):
                self._ending.look_at_end(self.steps_done)

    def look_at_start(self, network: nn.Module) -> None:
        """Look once at the signals of the first weights, where the training stopped before there was another look.

        A loss that is no number leaves weights that are none: what can be seen is what the network began with.

        Args:
            network: a new one, of the first weights.
        """
        ended = self.probes()
        if ended is None or ended.signals is None:
            self._network = members.set_training(members.moved(network, self._device), True)
            self._ending = self._last_look()
            with contextlib.suppress(Exception):
                self._ending.look_at_end(0)

    @property
    def predicted(self) -> tuple[int, ...]:
        """Test images that the network put into each class when it was last evaluated."""
        return self._tester.predicted

    @property
    def steps_done(self) -> int:
        """Steps so far."""
        return len(self.recorder.steps)

    def probes(self) -> Probes | None:
        """What was probed so far; None where nothing was."""
        found = None if self._probing is None else self._probing.found()
        ended = None if self._ending in (None, self._probing) else self._ending.found()
        if ended is None or found is None:
            return ended or found
        return replace(found, signals=ended.signals, branches=ended.branches)

    def _train(self, epoch: int, on_step: Callable[[int], None]) -> Course[tuple[float, float]]:
        """Train for one epoch; mean loss and accuracy over its images, each as it was when its batch was trained on."""
        network, optimizer, recorder, split = self._network, self._optimizer, self.recorder, self._dataset.train
        config, size, first = self._config, self._config.batch_size, (epoch - 1) * self.steps_per_epoch
        if not self._place:
            self._order = seeding.order(config.seed, epoch, len(split)).to(self._device)
            self._predictions = torch.empty_like(self._order)
            self._checked = first
        order, predictions = self._order, self._predictions
        augmented = Augmentation(config, epoch, len(split), self._device)
        for start in range(self._place * size, len(split), size):
            indices = order[start : start + size]
            images, labels = split.batch(indices, augmented)
            recorder.before()
            number, rate, classes = self.steps_done + 1, self._rates[self.steps_done], len(self._dataset.classes)
            self._probe(number, ended=False)
            step = Step(network, optimizer, images, labels, number, rate, classes, config.label_smoothing)
            if is_looked_at(number, self.steps_per_epoch):
                self._uses.attach()
                taken = step.take()
            else:
                taken = yield step
            self._started += taken.elsewhere
            predictions[start : start + size] = taken.predictions
            recorder.after(taken.loss, rate)
            self._uses.step(self.steps_done)
            self._uses.detach()
            self._probe(self.steps_done, ended=True)
            self._place += 1
            if self.steps_done - self._checked == CHECK_STEPS:
                self._check()
            on_step(self.steps_done)
        self._check()
        self._measure_accuracies()
        correct = (predictions == split.labels.index_select(0, order)).to(torch.float32)
        counts = torch.tensor([len(batch) for batch in torch.split(order, size)], device=self._device)
        mean_loss = (recorder.steps.losses[first:] * counts).sum() / len(split)
        return mean_loss.item(), correct.mean().item()

    def _measure_accuracies(self) -> None:
        """Fill in the accuracies of the steps since the last time, which were all in this epoch."""
        if self._measured == self.steps_done:
            return
        size, first = self._config.batch_size, (self.steps_done - 1) // self.steps_per_epoch * self.steps_per_epoch
        images = slice((self._measured - first) * size, (self.steps_done - first) * size)
        labels = self._dataset.train.labels.index_select(0, self._order[images])
        correct = (self._predictions[images] == labels).to(torch.float32)
        means = [batch.mean() for batch in torch.split(correct, size)]
        self.recorder.steps.accuracies[self._measured :] = torch.stack(means)
        self._measured = self.steps_done

    def _probe(self, step: int, *, ended: bool) -> None:
        """Do what the probes have to before a step, and look after it, if there is a look after so many steps."""
        may_be_last = step == self._steps or self._config.target is not None
        if may_be_last and not ended and step % self.steps_per_epoch == 0:
            self._ending = self._ending or self._last_look()
            self._ending.before()
        if self._probing is None or not self._probing.due(step):
            return
        started = self._now()
        if ended:
            self._probing.look(step)
        else:
            self._probing.before()
        self._probing_seconds += self._now() - started

    def _last_look(self) -> Probing:
        """What looks at the signals at the end of the training: the probes, if they look at them anyway."""
        if self._probing is not None and "signals" in self._config.probed:
            return self._probing
        config, split = replace(self._config, probe_every=1, probes="signals"), self._dataset.train
        small = max(1, LOOK_VALUES // split.images[0].numel())
        images = min(PROBED_IMAGES, max(self._config.batch_size, min(LOOK_IMAGES, small)))
        return Probing(self._network, lambda images: self._forward(self._network, images), split, config, images)

    def _forward(self, network: nn.Module, images: Tensor) -> Tensor:
        return logits_of(network, images, len(self._dataset.classes), f"step {self.steps_done + 1}")

    def _check(self) -> None:
        first, losses = self._checked, self.recorder.steps.losses
        finite = torch.isfinite(losses[first:])
        if not finite.all():
            step = first + int((~finite).nonzero()[0]) + 1
            raise DivergedError(
                f"the loss at step {step} (epoch {(step - 1) // self.steps_per_epoch + 1}) is "
                f"{losses[step - 1].item()}: lower the learning rate, now {self._config.learning_rate:g}"
            )
        self._checked = self.steps_done

    def _now(self) -> float:
        return now(self._device)
