"""Networks of diffusers: the class that a config names, built from the config alone."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from archlab.errors import SourceError
from archlab.networks.hugging_face.configs import Located, needs, unknown_class
from archlab.networks.hugging_face.options import OWN, Chosen, field_option, with_fields
from archlab.networks.options import Option


class Diffusion:
    """One network of diffusers: its class and its config.

    Raises:
        SourceError: diffusers isn't installed or doesn't know the class or an option, or a task was asked for.
    """

    def __init__(self, located: Located, chosen: Chosen) -> None:
        try:
            import diffusers
        except ModuleNotFoundError as error:
            if error.name != "diffusers":
                raise
            raise needs(located.source, "diffusers") from error
        self.source = located.source
        if chosen.task:
            raise SourceError(
                f"{self.source} is a network of diffusers ({located.config['_class_name']}), which has no other heads: "
                f"leave the option task={chosen.task} out"
            )
        name = str(located.config["_class_name"])
        found = getattr(diffusers, name, None)
        if not isinstance(found, type) or not issubclass(found, diffusers.ModelMixin):
            known = [item for item in dir(diffusers) if item.endswith(("Model", "Model2D", "2D", "KL", "VQ", "Tiny"))]
            raise unknown_class(self.source, name, known, f"diffusers {diffusers.__version__}")
        self.network_class: Any = found
        self.fields = _fields(found) | {
            key: value for key, value in located.config.items() if not key.startswith("_") and key != "auto_map"
        }
        own = {key: value for key, value in located.config.items() if not key.startswith("_")}
        self.config = with_fields(self.source, own, self.fields, chosen.fields)
        self.notes: list[str] = []

    @property
    def available(self) -> dict[str, Option]:
        """All options: archlab's own and the config's fields."""
        own = {name: option for name, option in OWN.items() if name != "task"}
        return own | {name: field_option(name, value) for name, value in self.fields.items()}

    @property
    def summary(self) -> str:
        """Its class, in a line."""
        return f"{self.network_class.__name__} of diffusers."

    def make(self) -> nn.Module:
        """The network with new weights, as diffusers builds it from the config."""
        from diffusers.utils import logging

        before = logging.get_verbosity()
        logging.set_verbosity(50)  # above whatever it says
        try:
            network: nn.Module = self.network_class.from_config(dict(self.config))
        finally:
            logging.set_verbosity(before)
        return network


def _fields(kind: Any) -> dict[str, Any]:
    """The fields that a network of diffusers takes, with their defaults."""
    parameters = inspect.signature(kind.__init__).parameters
    return {
        name: None if parameter.default is parameter.empty else parameter.default
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
