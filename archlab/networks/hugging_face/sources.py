"""`hf:...` as a source: which library builds it, with which options, on which inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from archlab.errors import ArchlabError, InputError
from archlab.networks.hugging_face.configs import locate, with_known_code
from archlab.networks.hugging_face.inputs import inputs_of, left_out, unknown_inputs
from archlab.networks.hugging_face.options import chosen
from archlab.networks.hugging_face.safetensors import checkpoint, has_weights
from archlab.networks.members import parameters as parameters_of
from archlab.networks.options import Option
from archlab.records import Checkpoint, Value


@dataclass(frozen=True, slots=True)
class HubModel:
    """A network of transformers or diffusers that can be built from its config."""

    make: Callable[[], nn.Module]
    inputs: Callable[[nn.Module, int | None], dict[str, Any]]
    """Gives the inputs of the network for a batch, by name."""
    options: Mapping[str, Value]
    """The options that were given."""
    available: Mapping[str, Option]
    summary: str
    """Its class and its config's type."""
    notes: list[str] = field(default_factory=list)


def hub_model(source: str, reference: str, options: Mapping[str, Value]) -> HubModel:
    """What `hf:REFERENCE`, or a config's file, names.

    Raises:
        SourceError: there is no such config, its library isn't installed or doesn't know it, an option is wrong, or
            the repository's own code would be needed.
    """
    given = dict(options)
    wanted = chosen(source, {name: value for name, value in given.items() if name != "auto_map"})
    located = locate(source, reference, component=wanted.component, download=wanted.download)
    located = with_known_code(located, given)
    if located.is_diffusers:
        from archlab.networks.hugging_face.diffusion import Diffusion
        from archlab.networks.hugging_face.diffusion_inputs import inputs_of as inputs_of_diffusers

        model: Any = Diffusion(located, wanted)
        make_inputs: Any = inputs_of_diffusers
    else:
        from archlab.networks.hugging_face.transformer import Transformer

        model, make_inputs = Transformer(located, wanted), inputs_of

    def inputs(network: nn.Module, batch: int | None) -> dict[str, Any]:
        try:
            found: dict[str, Any] = make_inputs(network, batch, wanted.seq)
        except ArchlabError:
            raise
        except Exception as error:  # a config without the fields that others of its kind have
            raise InputError(unknown_inputs(network, [])) from error
        said = left_out(network, found)
        if said and said not in notes:
            notes.append(said)
        return found

    notes: list[str] = model.notes

    def make() -> nn.Module:
        network: nn.Module = model.make()
        if has_weights(located.folder) and not wanted.fields:
            note = weights_note(network, checkpoint(located.folder))
            if note not in notes:
                notes.append(note)
        return network

    return HubModel(make, inputs, wanted.shown, model.available, model.summary, notes)


def weights_note(network: nn.Module, held: Checkpoint) -> str:
    """A sentence that compares what a checkpoint holds with the network that was built from its config."""
    groups: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    parameters = sum(parameter.numel() for parameter in parameters_of(network))
    buffers = {name for name, _ in network.named_buffers(remove_duplicate=False)}
    stored = {tensor.name: tensor for tensor in held.tensors if tensor.name not in buffers}
    count = sum(tensor.elements for tensor in stored.values())
    beside = f" and {held.elements - count:,} of buffers" if held.elements > count else ""
    kinds = ", ".join(held.by_dtype)
    holds = f"The checkpoint beside the config holds {count:,} parameters{beside} ({kinds}) by its headers"
    if count == parameters:
        return f"{holds}, as many as the network."
    said = f"{holds}; the network built from the config has {parameters:,}."
    if not {"F64", "F32", "F16", "BF16", "C64"} >= {tensor.dtype for tensor in stored.values()}:
        said += " Weights of fewer bits may be packed several to a number, and have scales beside them."
    known = {name for group in groups.values() for name in group}
    missing = [group[0] for group in groups.values() if not stored.keys() & set(group)]
    extra = sorted(stored.keys() - known)
    if len(missing) > len(groups) // 2:
        return said  # the names are others: nothing can be matched
    for what, found in (("Not in the checkpoint:", missing), ("In the checkpoint alone:", extra)):
        if found:
            said += f" {what} {', '.join(found[:3])}{f' and {len(found) - 3:,} more' if len(found) > 3 else ''}."
    return said
