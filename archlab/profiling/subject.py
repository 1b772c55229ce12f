"""What is measured: a network with weights on a device, its arguments, and the trace that says what the rows are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archlab.errors import ForwardError
from archlab.networks.devices import find_device
from archlab.networks.members import buffers, modules, parameters, set_training
from archlab.profiling.machine import free_bytes
from archlab.records import Value
from archlab.records.profile import Mode
from archlab.tracing.forward.compilation import uncompiled
from archlab.tracing.forward.module_tree import unwrapped
from archlab.tracing.inputs import Arguments, with_values
from archlab.tracing.isolation import isolated
from archlab.tracing.measurement import prepare
from archlab.tracing.pytree import convert, tensors

if TYPE_CHECKING:
    from archlab.networks import Source


class Subject:
    """A network that can be run on its arguments; arguments and errors are those of `archlab.profile`."""

    def __init__(
        self,
        network: str | Source | nn.Module,
        inputs: object,
        batch: int | None,
        options: Mapping[str, Value],
        *,
        backward: bool = False,
        device: str | None = None,
        columns: Iterable[str] = (),
    ) -> None:
        prepared = prepare(network, inputs, batch, options, columns)
        source = prepared.source
        self.backward = backward
        self.is_built = source is not None and not source.has_weights
        """Whether the network is made for this measurement, and so needs no copies."""
        if source is not None:
            set_training(prepared.network, backward)
        self.trace = prepared.trace()
        self.device = find_device(device) if device or source else _home(prepared.network)
        self.dtype = _floating_type(prepared.network, prepared.given)
        self._given = prepared.given
        self._check_memory(prepared.network)
        self.network = prepared.network
        if source is not None and self.is_built:
            with isolated(nn.Module()):  # what a factory draws changes no random state
                self.network = unwrapped(source.build("cpu"))
            set_training(self.network, backward)

    @contextmanager
    def ready(self) -> Iterator[Arguments]:
        """A context in which the network is on its device and may change, with its arguments there."""
        with (
            isolated(nn.Module() if self.is_built else self.network, device=str(self.device), values=True),
            uncompiled(),
            torch.inference_mode(False),
            torch.set_grad_enabled(self.backward),
        ):
            if self.is_built and self.device.type != "cpu":
                nn.Module.to(self.network, self.device)
            arguments: Arguments = convert(with_values(self._given), lambda tensor: tensor.to(self.device))
            yield arguments

    @property
    def mode(self) -> Mode:
        """The mode of the network's modules."""
        modes = {module.training for module in modules(self.network)}
        return "mixed" if len(modes) > 1 else "training" if modes == {True} else "evaluation"

    def _check_memory(self, network: nn.Module) -> None:
        """Hold that a pass fits into the memory that is free: parameters, their copies and gradients, results.

        Raises:
            ForwardError: it doesn't.
        """
        held = sum(tensor.numel() * tensor.element_size() for tensor in (*parameters(network), *buffers(network)))
        totals = self.trace.totals
        largest = max((layer.output_bytes for layer in self.trace.layers), default=0)
        results = totals.output_bytes if self.backward else 2 * largest
        needed = held * (1 + self.backward) + results
        free = free_bytes(self.device)
        if free is not None and needed > free:
            gradients = ", as much of gradients" if self.backward else ""
            raise ForwardError(
                f"{self.trace.network} takes about {needed / 1e9:.1f} GB to be run on {self.device} "
                f"({held / 1e9:.1f} GB of parameters and buffers{gradients}, {results / 1e9:.1f} GB of results), and "
                f"{free / 1e9:.1f} GB are free: take a smaller batch or input, or another --device"
            )


def _home(network: nn.Module) -> torch.device:
    """Where a network's first parameter is; the CPU for one without values, or without any."""
    first: Tensor | None = next(iter(parameters(network)), None)
    return torch.device("cpu") if first is None or first.is_meta else first.device


def _floating_type(network: nn.Module, given: Arguments) -> torch.dtype:
    """The element type of the network's arithmetic: of its first parameter with fractions, else of its first input."""
    for tensor in (*parameters(network), *tensors(given)):
        if tensor.is_complex():
            return tensor.dtype.to_real()
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()
