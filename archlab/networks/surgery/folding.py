"""BatchNorm folded into the layers beside it, for evaluation.

With running mean m, variance v, gamma g, beta b and epsilon e a BatchNorm layer computes scale * x + shift, where
scale = g / sqrt(v + e) and shift = b - m * scale, per channel. A convolution (or linear layer) that alone feeds it
takes both in: W' = scale * W per output channel, b' = scale * b + shift (Jacob et al. 2018, Quantization and Training
of Neural Networks for Efficient Integer-Arithmetic-Only Inference, section 3.2). One that alone takes its result does
so too, where nothing is padded: W' = W * scale per input channel, b' = b + sum of W * shift over its window. (A padded
position is 0 behind BatchNorm, and would be -shift / scale before it.)

For example a 1x1 convolution of weight 2 and bias 1, behind it scale 3 and shift 4: 3 * (2x + 1) + 4 = 6x + 7.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks.surgery.flow import AFFINE, Flow, observe, read
from archlab.networks.surgery.layers import NormLayer, chained, count, norm_layers, put
from archlab.records.surgery import Cut, Surgery

_CONV = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PLAIN_FORWARDS = {kind.forward for kind in AFFINE}


def fold(network: nn.Module, inputs: object = None) -> tuple[nn.Module, Surgery]:
    """A copy of a network in evaluation mode with its BatchNorm layers folded, and what was folded and what not.

    What feeds what is read by `torch.fx`, or heard by running the network once on inputs. A folded layer leaves an
    identity in its place (with the activation that timm's BatchNormAct2d calls), so that paths stay.

    Args:
        network: any module; it stays as it is.
        inputs: a tensor, a shape as (1, 3, 224, 224), a list of those, or a mapping for keywords; without them
            `torch.fx` must be able to read the network.

    Raises:
        InputError: without inputs, `torch.fx` can't read it; with inputs, it doesn't take them.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    >>> folded, record = fold(network)
    >>> [(cut.path, cut.into) for cut in record.cuts], record.biases
    ([('1', '0')], ('0',))
    """
    folded = copy.deepcopy(network).eval()
    layers = norm_layers(folded)
    flow = (read(folded) if inputs is None else observe(folded, inputs)) if layers else Flow()
    paths = {id(module): path for path, module in folded.named_modules()}
    shared = _shared(folded)
    cuts, biases = [], []
    with torch.no_grad():
        for layer in layers:
            target, before, reason = _partner(layer, flow, shared, paths)
            if target is None:
                cuts.append(Cut(layer.path, layer.kind, layer.channels, reason=reason))
                continue
            if target.bias is None:
                biases.append(paths[id(target)])
            (_fold_before if before else _fold_behind)(target, layer)
            put(folded, layer.module, chained(None, layer.after))
            cuts.append(Cut(layer.path, layer.kind, layer.channels, into=paths[id(target)], reason=reason))
    record = Surgery(
        "fold",
        type(network).__name__,
        cuts=tuple(cuts),
        biases=tuple(biases),
        parameters=(count(network), count(folded)),
        notes=() if layers else (f"{type(network).__name__} has no BatchNorm layer.",),
    )
    return folded, record


def feeder(layer: NormLayer, flow: Flow) -> tuple[Any, str]:
    """The convolution or linear layer whose result a BatchNorm layer takes, and nothing else does; or None, and why."""
    calls = flow.calls(layer.module)
    if not calls:
        return None, "it is never called"
    if len(calls) > 1:
        return None, f"it is called {len(calls)} times"
    origins = flow.steps[calls[0]].inputs
    if len(origins) != 1 or origins[0] < 0:
        return None, "it takes the network's input" if origins else "what it takes is not known"
    before = flow.steps[origins[0]]
    if not isinstance(before.module, AFFINE):
        return None, f"{before.name} comes before it"
    name = type(before.module).__name__
    if len(flow.calls(before.module)) > 1:
        return None, f"the {name} before it is called {len(flow.calls(before.module))} times"
    takers = len(flow.takers(origins[0])) + (origins[0] in flow.outputs)
    if takers > 1:
        return None, f"what the {name} before it gives is taken {takers} times"
    if _outputs(before.module) != layer.channels or (
        before.shapes and len(before.shapes[0]) > 2 and _is_linear(before)
    ):
        return None, f"its channels are not the outputs of the {name} before it"
    return before.module, ""


def _partner(layer: NormLayer, flow: Flow, shared: set[int], paths: dict[int, str]) -> tuple[Any, bool, str]:
    """The layer that takes a BatchNorm layer in, whether it comes before it, and a reason where there is none."""
    if not layer.is_known:
        return None, False, f"{layer.kind} has a forward of its own"
    if layer.statistics is None:
        return None, False, "it keeps no running statistics, and normalises by the batch in evaluation too"
    target, reason = feeder(layer, flow)
    if target is not None:
        refusal = _refusal(target, shared)
        return (None, False, f"{paths[id(target)]} {refusal}") if refusal else (target, True, "")
    target, other = _follower(layer, flow)
    if target is not None and not (refusal := _refusal(target, shared)):
        return target, False, f"into the layer behind it, since {reason}"
    return None, False, f"{reason}, and {other}" if other else reason


def _follower(layer: NormLayer, flow: Flow) -> tuple[Any, str]:
    """The layer that alone takes a BatchNorm layer's result and can take it in; or None, and why."""
    calls = flow.calls(layer.module)
    if len(calls) != 1 or not flow.steps[calls[0]].inputs:
        return None, ""
    if layer.after:
        return None, "an activation comes behind it"
    takers = flow.takers(calls[0])
    if len(takers) != 1 or calls[0] in flow.outputs:
        return None, "what it gives is taken by more than one" if takers else "nothing comes behind it"
    after = flow.steps[takers[0]]
    if not isinstance(after.module, (*_CONV, nn.Linear)):
        return None, f"{after.name} comes behind it"
    name = type(after.module).__name__
    if len(flow.calls(after.module)) > 1:
        return None, f"the {name} behind it is called {len(flow.calls(after.module))} times"
    if isinstance(after.module, nn.Linear):
        fits = after.module.in_features == layer.channels and not (after.shapes and len(after.shapes[0]) > 2)
        return (after.module, "") if fits else (None, f"its channels are not the inputs of the {name} behind it")
    padding = after.module.padding
    if padding not in ("valid", 0) and (isinstance(padding, str) or any(padding)):
        return None, f"the {name} behind it pads what it gives"
    return after.module, ""


def _refusal(target: Any, shared: set[int]) -> str:
    """Why a layer's weights can't be changed; empty where they can."""
    if any(id(tensor) in shared for tensor in target.parameters()):
        return "shares its weights with another layer"
    if hasattr(target, "parametrizations") or not isinstance(target._parameters.get("weight"), nn.Parameter):
        return "computes its weight from others (a parametrisation)"
    if type(target).forward not in _PLAIN_FORWARDS and not _is_linear_in_its_weight(target):
        return "does not multiply by its weight as it is"
    return ""


def _is_linear_in_its_weight(target: Any) -> bool:
    """Whether a subclass with a forward of its own gives twice as much for twice the weights: timm's Conv2dSame does,
    one that standardises its weight does not."""
    twice = copy.deepcopy(target).eval()
    size = 2
    if not isinstance(target, nn.Linear):
        kernels = zip(target.kernel_size, target.dilation, strict=True)
        size = max(dilation * (kernel - 1) + 3 for kernel, dilation in kernels)
    dims = 0 if isinstance(target, nn.Linear) else len(target.kernel_size)
    features = target.in_features if isinstance(target, nn.Linear) else target.in_channels
    for parameter in twice.parameters():
        parameter.mul_(2)
    try:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(1, features, *[size] * dims, generator=generator).to(target.weight)
        return bool(torch.allclose(twice(x), 2 * target(x), rtol=1e-4, atol=1e-5))
    except Exception:  # whatever a forward of somebody's own raises on a small input
        return False


def _fold_before(target: Any, layer: NormLayer) -> None:
    scale, shift = layer.scale_and_shift()
    weight = target.weight.detach().double()
    if isinstance(target, _TRANSPOSED):
        # (in, out / groups, ...): the outputs of group g belong to the inputs of group g.
        grouped = weight.unflatten(0, (target.groups, -1))
        per_output = scale.view(target.groups, 1, -1, *[1] * (weight.dim() - 2))
        new = (grouped * per_output).flatten(0, 1)
    else:
        new = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    bias = 0 if target.bias is None else target.bias.detach().double()
    _set(target, new, bias * scale + shift)


def _fold_behind(target: Any, layer: NormLayer) -> None:
    scale, shift = layer.scale_and_shift()
    weight = target.weight.detach().double()
    groups = getattr(target, "groups", 1)
    # (out, in / groups, ...): output o of group g takes the inputs of group g.
    per_input = [vector.view(groups, 1, -1, *[1] * (weight.dim() - 2)) for vector in (scale, shift)]
    grouped = weight.unflatten(0, (groups, -1))
    added = (grouped * per_input[1]).flatten(2).sum(2).flatten()
    bias = 0 if target.bias is None else target.bias.detach().double()
    _set(target, (grouped * per_input[0]).flatten(0, 1), bias + added)


def _set(target: Any, weight: Tensor, bias: Tensor) -> None:
    old = target.weight
    target.weight = nn.Parameter(weight.to(old.dtype), requires_grad=old.requires_grad)
    target.bias = nn.Parameter(bias.to(old), requires_grad=old.requires_grad)


def _outputs(module: Any) -> int:
    return int(module.out_features if isinstance(module, nn.Linear) else module.out_channels)


def _is_linear(step: Any) -> bool:
    return isinstance(step.module, nn.Linear)


def _shared(network: nn.Module) -> set[int]:
    """The parameters that more than one module holds."""
    counts = Counter(id(parameter) for module in network.modules() for parameter in module.parameters(recurse=False))
    return {number for number, count in counts.items() if count > 1}
