"""What archlab says of one network, held against torch's counter, and whether the network is what it was."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

import archlab
from archlab.tracing.pytree import tensors
from benchmarks.zoo.derivation import call, counted, explained, places
from benchmarks.zoo.entry import Entry


@dataclass(slots=True)
class Finding:
    """A line of the table."""

    entry: Entry
    skipped: str = ""
    """Why it was left out; empty if it wasn't."""
    parameters: int = 0
    macs: int = 0
    counter: int = 0
    device: str = ""
    """Where torch's counter ran."""
    causes: dict[str, int] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)
    real: str = ""
    """Why archlab's arithmetic was real; empty where it wasn't."""
    seconds: float = 0.0
    changed: list[str] = field(default_factory=list)
    """What of the network is not what it was."""
    failures: list[str] = field(default_factory=list)
    """Each with the layer, the cause and what to do."""


def measure(entry: Entry) -> Finding:
    """Build, trace and compare one network."""
    finding = Finding(entry)
    torch.manual_seed(0)
    try:
        network = entry.build().eval()
    except ImportError as error:
        finding.skipped = f"not installed: {error}"
        return finding
    except Exception as error:
        finding.failures.append(f"can't be built by itself: {type(error).__name__}: {error}")
        return finding
    torch.manual_seed(1)
    inputs = entry.inputs()
    try:
        before = _state(entry, network, inputs)
    except Exception as error:
        finding.failures.append(f"doesn't run by itself: {type(error).__name__}: {error}")
        return finding
    torch.manual_seed(0)  # as before counting: what is drawn may decide how long a sound is
    start = time.perf_counter()
    try:
        trace = archlab.trace(network, inputs)
    except Exception as error:  # a line of the table, whatever it is
        finding.failures.append(f"not traced: {type(error).__name__}: {error}")
        return finding
    finally:
        finding.seconds = time.perf_counter() - start
        finding.changed = _differences(before, _state(entry, network, inputs))
    finding.parameters, finding.macs = trace.totals.parameters, trace.totals.macs
    finding.uncounted = trace.totals.uncounted_operations
    finding.real = next((note for note in trace.notes if note.startswith("Run with real arithmetic")), "")
    expected = sum(parameter.numel() for parameter in network.parameters())
    if finding.parameters != expected:
        finding.failures.append(f"{finding.parameters:,} parameters, and the network has {expected:,}")
    try:
        found = counted(network, inputs)
    except Exception as error:
        finding.failures.append(f"FlopCounterMode fails: {type(error).__name__}: {error}")
        return finding
    finding.counter, finding.device = found.macs, found.device
    difference, finding.causes = explained(trace, found)
    if difference != sum(finding.causes.values()):
        finding.failures.append(
            f"{difference:+,} MACs to FlopCounterMode, explained {sum(finding.causes.values()):+,}; by layer: "
            + "; ".join(places(trace, found)[:4])
        )
    finding.failures += [f"{name} is not what it was" for name in finding.changed]
    return finding


def _state(entry: Entry, network: nn.Module, inputs: Any) -> dict[str, Any]:
    """What has to be the same before and after: settings, tensors, modes, hooks, and one forward pass."""
    entry.reset(network)
    with torch.no_grad():
        torch.manual_seed(2)
        results = [tensor.clone() for tensor in tensors(call(network, inputs))]
    entry.reset(network)
    return {
        "the configuration": _settings(network),
        "state_dict()": {name: tensor.clone() for name, tensor in _tensors_of(network)},
        "a mode (training or evaluation)": [module.training for module in network.modules()],
        "a hook": [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in network.modules()],
        "a forward pass": results,
    }


def _tensors_of(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, value in network.state_dict().items():
        if isinstance(value, Tensor):
            yield name, value


def _settings(network: nn.Module) -> str:
    config = getattr(network, "config", None)
    if config is None:
        return ""
    if hasattr(config, "to_dict"):
        config = config.to_dict()
    return repr(sorted(config.items(), key=lambda item: str(item[0])) if isinstance(config, Mapping) else config)


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name, value in before.items() if not _is_same(value, after[name])]


def _is_same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        same = isinstance(right, Tensor) and left.shape == right.shape and left.dtype is right.dtype
        return same and torch.allclose(left, right, rtol=0, atol=0, equal_nan=True)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_is_same(item, right[name]) for name, item in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_is_same, left, right))
    return bool(left == right)
