"""`hf:...` as a source: which library builds it, with which options, on which inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from archlab.networks.hugging_face.configs import locate, with_known_code
from archlab.networks.hugging_face.options import chosen
from archlab.networks.options import Option
from archlab.records import Value


@dataclass(frozen=True, slots=True)
class HubModel:
    """A network of transformers or diffusers that can be built from its config."""

    make: Callable[[], nn.Module]
    inputs: Callable[[nn.Module, int | None], dict[str, Any]]
    """Gives the inputs of the network for a batch, by name."""
    options: Mapping[str, Value]
    """The options that were given."""
    available: Mapping[str, Option]
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
        from archlab.networks.hugging_face.inputs import inputs_of
        from archlab.networks.hugging_face.transformer import Transformer

        model, make_inputs = Transformer(located, wanted), inputs_of

    def inputs(network: nn.Module, batch: int | None) -> dict[str, Any]:
        found: dict[str, Any] = make_inputs(network, batch, wanted.seq)
        return found

    return HubModel(model.make, inputs, wanted.shown, model.available, model.notes)
