"""Every BatchNorm layer of a network replaced by another normalisation, or by none."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks.batchnorm import BatchNorm
from archlab.networks.blocks import make_norm
from archlab.networks.surgery.flow import Flow, observe, read
from archlab.networks.surgery.folding import feeder
from archlab.networks.surgery.layers import NormLayer, chained, count, is_frozen, norm_layers, put
from archlab.records.config import NORMS, SurgicalNorm
from archlab.records.surgery import Cut, Surgery

KINDS: tuple[str, ...] = get_args(SurgicalNorm)
_MAPS = {nn.BatchNorm1d: 1, nn.BatchNorm2d: 2, nn.BatchNorm3d: 3}
_BATCH = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


class FrozenBatchNorm(nn.Module):
    """BatchNorm that nothing moves: running statistics, gamma and beta are buffers, in training too.

    (batch, channels, ...) -> the same shape. As torchvision's `FrozenBatchNorm2d`, for any number of axes; its
    `state_dict` has BatchNorm's names.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels = channels
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """The input times gamma / sqrt(running variance + eps), shifted."""
        per_channel = (1, -1, *[1] * (x.dim() - 2))
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shift = self.bias - self.running_mean * scale
        return x * scale.view(per_channel) + shift.view(per_channel)

    def extra_repr(self) -> str:
        """The constructor's arguments, for `repr`."""
        return f"{self.channels}, eps={self.eps}"


class BatchNormAnyRank(BatchNorm):
    """archlab's own BatchNorm for signals and volumes too: (batch, channels, ...) -> the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """The normalised input."""
        if x.dim() in (2, 4):
            return super().forward(x)
        return super().forward(x.flatten(2).unsqueeze(3)).view_as(x)


@dataclass(frozen=True, slots=True)
class _Place:
    """A BatchNorm layer, what feeds it, and the shape of what it takes."""

    layer: NormLayer
    feeder: Any
    """The convolution or linear layer that alone feeds it; None where there is none."""
    why: str
    """Why there is none."""
    shape: tuple[int, ...]
    """Empty where it isn't known."""

    @property
    def rank(self) -> int:
        """Axes of what it takes, the batch among them; 0 where that isn't known."""
        if self.shape:
            return len(self.shape)
        for kind, axes in _MAPS.items():
            if isinstance(self.layer.module, kind) and kind is not nn.BatchNorm1d:
                return axes + 2
        if self.feeder is None:
            return 0
        return 2 if isinstance(self.feeder, nn.Linear) else len(self.feeder.kernel_size) + 2


def replace_norms(
    network: nn.Module, to: str, *, groups: int | None = None, inputs: object = None
) -> tuple[nn.Module, Surgery]:
    """A copy of a network whose BatchNorm layers are replaced, and what was replaced by what.

    Paths and all other parameters stay; gamma and beta are carried over wherever the new layer has such. Where nothing
    with a beta comes in place of a layer, the convolution or linear layer that alone feeds it gets a bias, 0 at first,
    if it had none.

    | to | what stands there |
    | --- | --- |
    | `off` (or `none`) | nothing |
    | `group` | groups of channels of a sample (Wu and He 2018) |
    | `layer` | all channels and positions of a sample together, with gamma and beta per channel |
    | `instance` | each channel of each sample by itself; a vector has one value there, and gets nothing |
    | `scratch` | archlab's own BatchNorm, with the running statistics, epsilon and momentum carried over |
    | `frozen` | the running statistics, gamma and beta, none of which training moves |
    | `batch` (or `on`) | torch's BatchNorm |

    Where the number of groups doesn't divide the channels, the nearest that does is taken, and the record says so. By
    default there are 32, or as many below as divide the channels and leave two of them to a group, eight of a vector.

    Args:
        network: any module; it stays as it is.
        to: one of those.
        groups: for `group` alone, how many.
        inputs: as `fold` takes them; for networks that `torch.fx` can't read, or whose layers' axes only a run tells.

    Raises:
        InputError: the network has no BatchNorm layer, or none that can be replaced; or an argument can't be meant.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    >>> changed, record = replace_norms(network, "off")
    >>> record.biases, list(changed.state_dict())
    (('0',), ['0.weight', '0.bias'])
    """
    kind = NORMS.get(to, to)
    if kind not in KINDS:
        raise InputError(f"BatchNorm is to be replaced by {to!r}, expected one of {', '.join(('off', *KINDS))}")
    if groups is not None and (kind != "group" or groups < 1):
        raise InputError(f"groups is {groups!r} for {to}, expected 1 or more, for group alone")
    network = copy.deepcopy(network)
    layers = norm_layers(network)
    name = type(network).__name__
    if not layers:
        others = {type(module).__name__ for module in network.modules() if "Norm" in type(module).__name__}
        has = f"; its normalisations are {', '.join(sorted(others))}" if others else ""
        raise InputError(f"{name} has no BatchNorm layer, so that there is nothing for norm={kind} to replace{has}")
    before, paths = count(network), {id(module): path for path, module in network.named_modules()}
    flow, notes = _flow(network, inputs)
    places = [_place(layer, flow) for layer in layers]
    cuts, biases = [], []
    for place in places:
        layer, wanted = place.layer, kind
        refusal = _refusal(place, kind)
        if refusal:
            cuts.append(Cut(layer.path, layer.kind, layer.channels, reason=refusal))
            continue
        new, said = _replacement(place, wanted, groups)
        if new is None and not is_frozen(layer.module):
            said = said or ""
            if place.feeder is None:
                said = "; ".join(filter(None, (said, f"no layer that could have a bias for it: {place.why}")))
            elif place.feeder.bias is None:
                place.feeder.bias = _zeros(place.feeder.weight, layer.channels)
                biases.append(paths[id(place.feeder)])
        put_in = chained(new, layer.after).train(layer.module.training)
        if layer.module is network:
            network = put_in
        put(network, layer.module, put_in)
        cuts.append(Cut(layer.path, layer.kind, layer.channels, into=_described(new), reason=said))
    if not any(cut.done for cut in cuts):
        raise InputError(
            f"norm={kind} can replace no BatchNorm layer of {name}: {cuts[0].path} ({cuts[0].kind}), {cuts[0].reason}"
        )
    return network, Surgery("norm", name, kind, tuple(cuts), tuple(biases), (), (before, count(network)), tuple(notes))


def _flow(network: nn.Module, inputs: object) -> tuple[Flow | None, list[str]]:
    """What feeds what, by a run on inputs or by `torch.fx`; None and a note where neither can tell."""
    try:
        return (read(network) if inputs is None else observe(network, inputs)), []
    except InputError as error:
        if inputs is not None:
            raise
        return None, [f"What feeds what isn't known, so that no layer was given a bias: {error}."]


def _place(layer: NormLayer, flow: Flow | None) -> _Place:
    if flow is None:
        return _Place(layer, None, "what feeds it is not known", ())
    found, why = feeder(layer, flow)
    calls = flow.calls(layer.module)
    shapes = flow.steps[calls[0]].shapes if calls else ()
    return _Place(layer, found, why, shapes[0] if shapes else ())


def _refusal(place: _Place, kind: str) -> str:
    layer = place.layer
    if not layer.is_known:
        return f"{layer.kind} has a forward of its own, which may do more than normalise"
    if layer.statistics is None and kind == "frozen":
        return "keeps no running statistics to be frozen at"
    if kind == "instance" and place.rank == 0:
        raise InputError(
            f"{layer.path} may take vectors or maps, and instance normalisation of a vector is nothing: give inputs to "
            "run the network on, as inputs=(1, 3, 224, 224)"
        )
    if kind == "instance" and place.rank > 2 and place.shape and _size(place.shape) == 1:
        raise InputError(
            f"{layer.path} takes maps of one position ({'x'.join(map(str, place.shape))}), where instance "
            "normalisation has one value per channel and gives 0: take larger images (--size), or another normalisation"
        )
    return ""


def _replacement(place: _Place, kind: str, groups: int | None) -> tuple[nn.Module | None, str]:
    """The new layer, None for nothing; and what was chosen on the way."""
    layer = place.layer
    channels, epsilon, affine = layer.channels, layer.epsilon, layer.affine is not None
    said = ""
    new: Any
    match kind:
        case "none":
            return None, ""
        case "group":
            taken, said = _groups(channels, groups, is_vector=place.rank == 2)
            new = nn.GroupNorm(taken, channels, epsilon, affine)
        case "layer":
            new = nn.GroupNorm(1, channels, epsilon, affine)
        case "instance":
            if place.rank == 2:
                return None, "a vector has one value per channel: no layer"
            new = _INSTANCE[place.rank](channels, epsilon, affine=affine)
        case "frozen":
            new = FrozenBatchNorm(channels, epsilon)
        case "scratch":
            share = layer.share
            if share is None and not is_frozen(layer.module):
                said = "its cumulative average becomes one with momentum 0.1 of the newest batch"
            usual = isinstance(layer.module, nn.BatchNorm2d)
            new = (BatchNorm if usual else BatchNormAnyRank)(channels, 1 - (0.1 if share is None else share), epsilon)
        case _:
            share = layer.share if layer.share is not None or not is_frozen(layer.module) else 0.1
            new = _BATCH.get(place.rank, nn.BatchNorm2d)(channels, epsilon, share, affine, layer.statistics is not None)
    _carry_over(layer, new)
    return new, said


def _groups(channels: int, wanted: int | None, *, is_vector: bool) -> tuple[int, str]:
    """How many groups, and what to say where they aren't the ones that were wanted.

    >>> _groups(24, 16, is_vector=False)
    (12, '16 groups do not divide 24 channels: 12 do')
    """
    if wanted is None:
        usual: Any = make_norm("group", channels, spatial=not is_vector)
        return usual.num_groups, ""
    choices = [number for number in range(1, channels + 1) if channels % number == 0]
    if is_vector and channels > 1:
        choices.remove(channels)  # a group of one value is always 0
    taken = min(choices, key=lambda number: (abs(number - wanted), number))
    if taken == wanted:
        return taken, ""
    what = "leave one value to a group of" if channels % wanted == 0 else "do not divide"
    return taken, f"{wanted} groups {what} {channels} channels: {taken} do"


def _carry_over(layer: NormLayer, new: Any) -> None:
    """Device, element type, gamma, beta and running statistics of the old layer, as far as the new one has them."""
    old = layer.module
    tensors = [*old.parameters(recurse=False), *old.buffers(recurse=False)]
    floats = [tensor for tensor in tensors if tensor.is_floating_point()]
    if floats:
        if floats[0].is_meta:
            new.to_empty(device="meta").to(floats[0].dtype)
        else:
            new.to(floats[0].device, floats[0].dtype)
    with torch.no_grad():
        for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            mine, theirs = getattr(new, name, None), getattr(old, name, None)
            if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
                mine.copy_(theirs)
                mine.requires_grad_(theirs.requires_grad and isinstance(mine, nn.Parameter))
            elif isinstance(mine, nn.Parameter):
                mine.requires_grad_(False)  # the old layer had no gamma and beta to train


def _zeros(like: Tensor, size: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(size, dtype=like.dtype, device=like.device), requires_grad=like.requires_grad)


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape[2:]:
        product *= side
    return product


def _described(new: nn.Module | None) -> str:
    if new is None:
        return "nothing"
    name = type(new).__name__
    return f"{name}, {new.num_groups} groups" if isinstance(new, nn.GroupNorm) and new.num_groups > 1 else name
