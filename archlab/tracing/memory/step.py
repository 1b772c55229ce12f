"""A training step on tensors without values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from archlab.networks.members import buffers, set_training
from archlab.networks.members import parameters as parameters_of
from archlab.records.memory import Optimizer, Precision
from archlab.tracing.inputs import Arguments
from archlab.tracing.isolation import isolated
from archlab.tracing.memory.timeline import MemoryUse, Timeline
from archlab.tracing.pytree import convert, tensors

OPTIMIZERS: dict[Optimizer, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, foreach=True),
    "sgd-momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, foreach=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, foreach=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, foreach=True),
}
"""As torch runs them on an accelerator: over all parameters at once."""


def pretended_step(network: nn.Module, given: Arguments, optimizer: Optimizer, precision: Precision) -> Timeline:
    """What a training step takes and gives back; the network is left as it was found.

    Args:
        network: trained in its training mode; parameters that don't require gradients stay frozen.
        given: its arguments, on the meta device, with the batch.
        optimizer: in `OPTIMIZERS`.
        precision: `fp32` for the network's own types, `bf16` for automatic mixed precision.

    Raises:
        Exception: whatever the network raises.
    """
    batch = next((int(tensor.shape[0]) for tensor in tensors(given) if tensor.dim()), 1)
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        isolated(network, device="cpu"),
        torch.inference_mode(False),
        torch.enable_grad(),
    ):
        set_training(network, True)
        args, kwargs = convert(given, lambda item: torch.empty_strided(item.shape, item.stride(), dtype=item.dtype))
        parameters = [parameter for parameter in parameters_of(network) if parameter.requires_grad]
        stepper = OPTIMIZERS[optimizer](parameters) if parameters else None
        if stepper is not None:
            _make_state(stepper, parameters)
        use = MemoryUse()
        with use:
            use.hold(parameters_of(network), "parameters")
            use.hold(buffers(network), "buffers")
            use.hold(tensors((args, kwargs)), "inputs")
            states = stepper.state.values() if stepper is not None else ()
            use.hold((tensor for state in states for tensor in tensors(state)), "optimizer_state")
            for parameter in parameters:
                parameter.register_post_accumulate_grad_hook(lambda own: use.rename(own.grad, "gradients"))  # type: ignore[no-untyped-call]
            is_language = not any(tensor.is_floating_point() for tensor in tensors((args, kwargs)))
            with _mixed() if precision == "bf16" else nullcontext():
                value = _loss(network(*args, **kwargs), is_language=is_language)
            use.part, use.moment = "workspace", "backward"
            if value.requires_grad:
                value.backward()  # type: ignore[no-untyped-call]
            use.moment = "step"
            if stepper is not None:
                stepper.step()
            events = tuple(use.events)
    return Timeline(batch, events)


def _loss(out: object, *, is_language: bool) -> Tensor:
    """A cross-entropy for each table of scores in a network's output, a mean of squares for anything else."""
    losses = []
    for result in tensors(out):
        if not result.is_floating_point() or not result.requires_grad:
            continue
        if result.dim() == 2 or (is_language and result.dim() == 3):
            scores = result.flatten(0, -2)
            labels = torch.empty(scores.shape[:1], dtype=torch.int64)
            losses.append(F.cross_entropy(scores, labels))
        else:
            losses.append(result.square().mean())
    return torch.stack(losses).sum() if losses else torch.zeros(())


def _make_state(stepper: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
    """Lets the optimiser make what it keeps from step to step."""
    for parameter in parameters:
        parameter.grad = torch.empty_like(parameter)
    stepper.step()
    stepper.zero_grad()


# Mixed precision


@contextmanager
def _mixed() -> Iterator[None]:
    """Automatic mixed precision with the types that it has on a GPU.

    Fake tensors are on the CPU, whose autocast leaves normalisation and softmax in bfloat16, where a GPU's takes
    float32 for them.
    """
    with torch.autocast("cpu", dtype=torch.bfloat16), _Float32():
        yield


_IN_FLOAT32 = frozenset(
    function
    for home in (F, torch, Tensor)
    for name in ("layer_norm", "group_norm", "rms_norm", "softmax", "log_softmax", "cross_entropy", "exp", "pow")
    if (function := getattr(home, name, None)) is not None
)


class _Float32(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _IN_FLOAT32 and args and isinstance(args[0], Tensor) and args[0].dtype is torch.bfloat16:
            args = (args[0].float(), *args[1:])
        return func(*args, **(kwargs or {}))
