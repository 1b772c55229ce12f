"""What BatchNorm layers really do while a network trains and is evaluated: an observer by hooks.

It believes outputs rather than modes. Running statistics M and V put an input x at (x - M) / sqrt(V + eps), gamma and
beta taken off, and its own batch puts the mean of all x at 0. For example: x of mean 3 and variance 1 comes out with
mean 0 by its batch, and with mean 3 by running statistics that are still the initial 0 and 1. Where both agree, or
neither fits (a layer with an activation inside), the layer's mode decides.

Hooks stand on the layers only while something is looked at, and see a few channels and images of each: they read, so
that no bit of the training changes.

    with observing_uses(network) as observer:      # a network on data: hooks stay for the whole context
        network.eval()
        for images in batches:
            network(images)
    uses = observer.uses()

In a loop, `attach` before a step that is looked at, `step` after it, `detach`; around an evaluation, `evaluation()`.
Without that context a pass counts as evaluation where the network was in evaluation mode when it was called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from archlab.networks import members
from archlab.networks.batchnorm import BatchNorm, newest_share
from archlab.records import NormRecording, NormUse
from archlab.training.norm_seen import (
    LayerSeen,
    Phase,
    is_readable,
    mode_of,
    sampled,
    word_for,
)

FIRST_STEPS = 2
"""Looked at beside the last of each epoch, whose batch is the smallest."""
EVALUATED_CALLS = 4
"""Calls of an evaluation whose outputs are looked at; of later ones only those in training mode."""


class NormObserver:
    """Sees how the normalisation layers of a network are used.

    Args:
        network: its BatchNorm layers of all kinds, archlab's own, and InstanceNorm layers with running statistics.
        trained: the parameters that an optimiser updates; None for all that require gradients.
    """

    def __init__(self, network: nn.Module, trained: Iterable[Tensor] | None = None) -> None:
        self._network = network
        self._trained = None if trained is None else {id(parameter) for parameter in trained}
        found: dict[int, LayerSeen] = {}
        for path, module in members.every_named_module(network):
            if id(module) in found:
                found[id(module)].paths += 1
            elif _is_observed(module):
                found[id(module)] = LayerSeen(path, module)
        self._seen = list(found.values())
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._phase: Phase | None = None
        self._pass: Phase | None = None
        self._passes = self._most_passes = self._steps = 0

    def __bool__(self) -> bool:
        """Whether there is a layer to see."""
        return bool(self._seen)

    def attach(self) -> None:
        """Begin to look; where it has begun already, nothing happens."""
        if self._handles or not self._seen:
            return
        network = self._network
        self._handles = [
            network.register_forward_pre_hook(lambda *_: None if _compiles() else self._begin_pass()),
            network.register_forward_hook(lambda *_: None if _compiles() else self._end_pass(), always_call=True),
        ]
        for seen in self._seen:
            self._handles += [
                seen.module.register_forward_pre_hook(self._before(seen), with_kwargs=True),
                seen.module.register_forward_hook(self._after(seen), with_kwargs=True, prepend=True),
            ]
        self._begin_step()

    def detach(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._pass = None

    def step(self, number: int) -> None:
        """An optimiser step has been done, of that number from 1, and was looked at from its beginning."""
        if not self._handles:
            return
        self._steps += 1
        self._most_passes = max(self._most_passes, self._passes)
        with torch.no_grad():
            for seen in self._seen:
                seen.close(number)
        self._begin_step()

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """A context that is looked at, and in which every pass is an evaluation."""
        attached, phase = bool(self._handles), self._phase
        self._phase = "evaluation"
        self.attach()
        try:
            yield
        finally:
            self._phase = phase
            if not attached:
                self.detach()
            for seen in self._seen:
                seen.end_evaluation()

    def state(self) -> dict[str, Any]:
        """What was seen so far, between two steps, as a tree of plain values."""
        return {
            "steps": self._steps,
            "passes": self._most_passes,
            "layers": {seen.path: seen.state() for seen in self._seen},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._steps, self._most_passes = state["steps"], state["passes"]
        for seen in self._seen:
            seen.restore(state["layers"][seen.path])

    def uses(self) -> tuple[NormUse, ...]:
        """How the layers were used so far, in the order of `named_modules()`. Waits for the device."""
        return tuple(self._use(seen) for seen in self._seen)

    def _begin_pass(self) -> None:
        self._pass = "training" if self._network.training else "evaluation"
        if self._now() == "training" and not in_backward():
            self._passes += 1

    def _end_pass(self) -> None:
        self._pass = None

    def _begin_step(self) -> None:
        self._passes = 0
        for seen in self._seen:
            seen.begin()

    def _now(self) -> Phase:
        return self._phase or self._pass or ("training" if self._network.training else "evaluation")

    def _before(self, seen: LayerSeen) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if _compiles():  # nothing of this gets into the code that torch.compile makes
                return
            held = seen.statistics()
            with torch.no_grad():
                seen.before = None if held is None else (held[0].clone(), held[1].clone())
            if self._now() == "training":
                now = seen.now
                if in_backward():
                    now.recomputed += 1
                else:
                    now.calls += 1
                    now.idle += seen.by_mode == "batch" and not torch.is_grad_enabled()

        return hook

    def _after(self, seen: LayerSeen) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            if _compiles():
                return
            given = args[0] if args else next(iter(kwargs.values()), None)
            if isinstance(given, Tensor) and isinstance(output, Tensor) and given.dim() > 1:
                with torch.no_grad():
                    self._look(seen, given.detach(), output.detach())

        return hook

    def _look(self, seen: LayerSeen, given: Tensor, output: Tensor) -> None:
        """Note what a call did."""
        phase, again = self._now(), in_backward()
        images, values = given.shape[0], given.numel() // max(1, given.shape[1])
        if phase == "evaluation":
            seen.evaluation_images = max(seen.evaluation_images, images)
            seen.evaluation_calls += 1
            seen.evaluation_moved += seen.has_moved()
            if seen.evaluation_calls > EVALUATED_CALLS and seen.by_mode == "running":
                return
        elif not again:
            seen.now.moved += seen.has_moved()
            seen.fewest = min(seen.fewest, (values, images)) if seen.fewest[0] else (values, images)
            seen.most = max(seen.most, values)
        is_per_image = isinstance(seen.module, nn.modules.instancenorm._InstanceNorm)
        if is_per_image or not is_readable(given, output):
            seen.modes[phase].add(seen.by_mode)
            return
        seen.modes[phase].add(mode_of(seen, given, output))
        if phase == "training" and not again:
            seen.now.inputs.append(sampled(given))

    def _use(self, seen: LayerSeen) -> NormUse:
        module = seen.module
        gamma, beta = getattr(module, "weight", None), getattr(module, "bias", None)
        affine = [parameter for parameter in (gamma, beta) if parameter is not None]
        held = seen.statistics()
        return NormUse(
            path=seen.path,
            kind=type(module).__name__,
            paths=seen.paths,
            channels=int(getattr(module, "num_features", 0) or getattr(module, "channels", 0)),
            momentum=newest_share(module),
            epsilon=float(module.eps),
            tracks=seen.tracks,
            affine=bool(affine),
            trains=any(self._is_trained(parameter) for parameter in affine),
            is_initial=held is not None and bool((held[0] == 0).all() and (held[1] == 1).all()),
            processes=_processes(),
            steps=self._steps,
            in_training=word_for(seen.modes["training"]),
            in_evaluation=word_for(seen.modes["evaluation"]),
            calls=seen.calls,
            passes=self._most_passes,
            recomputed=seen.recomputed,
            idle=seen.idle,
            updates=seen.updates,
            moves=seen.moves,
            shift=seen.shift,
            stretch=seen.stretch,
            fewest_values=seen.fewest[0],
            most_values=seen.most,
            fewest_images=seen.fewest[1],
            evaluation_images=seen.evaluation_images,
            evaluation_updates=max(seen.evaluation_updates, seen.evaluation_moved),
            not_finite_step=seen.not_finite_step,
        )

    def _is_trained(self, parameter: Tensor) -> bool:
        return parameter.requires_grad and (self._trained is None or id(parameter) in self._trained)


@contextmanager
def observing_uses(network: nn.Module, trained: Iterable[Tensor] | None = None) -> Iterator[NormObserver]:
    """A context in which every pass of the network is looked at; afterwards it has no hook more than before.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)).eval()
    >>> with observing_uses(network) as observer:
    ...     _ = network(torch.randn(8, 1, 9, 9))
    >>> [(use.path, use.in_evaluation, use.evaluation_images) for use in observer.uses()]
    [('1', 'batch', 8)]
    """
    observer = NormObserver(network, trained)
    observer.attach()
    try:
        yield observer
    finally:
        observer.detach()


def with_recorded(held: NormRecording, uses: Sequence[NormUse], left_out: Mapping[str, int]) -> NormRecording:
    """A recording with the uses of its layers, which its rows may tell the step of.

    Args:
        held: what was recorded.
        uses: as observed, at a few steps.
        left_out: path -> batches that precise statistics are without.
    """
    import numpy as np

    found = []
    for use in uses:
        rows = (
            [held.layers[use.path][name] for name in ("running_mean", "running_var")] if use.path in held.layers else []
        )
        steps = [held.steps[row] for array in rows for row in np.flatnonzero(~np.isfinite(array).all(axis=1))[:1]]
        steps += [] if use.not_finite_step is None else [use.not_finite_step]
        found.append(replace(use, not_finite_step=min(steps, default=None), left_out=left_out.get(use.path, 0)))
    return replace(held, uses=tuple(found))


def is_looked_at(step: int, steps_per_epoch: int) -> bool:
    """Whether archlab's own loop looks at the step of that number, from 1."""
    return step <= FIRST_STEPS or step % steps_per_epoch == 0


def _is_observed(module: nn.Module) -> bool:
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return module.track_running_stats
    return isinstance(module, (_NormBase, BatchNorm))


def _compiles() -> bool:
    compiles: bool = torch.compiler.is_compiling()
    return compiles


def in_backward() -> bool:
    """Whether a backward pass goes on in this thread: what is called then is called again (torch.utils.checkpoint)."""
    return torch._C._current_graph_task_id() != -1


def _processes() -> int:
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
