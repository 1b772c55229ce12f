"""Options of Hugging Face's networks: fields of their configs, and what archlab itself is told beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from archlab.errors import SourceError, nearest
from archlab.networks.options import Option
from archlab.records import Value

OWN = {
    "task": Option("task", str, "", "the head: base, causal-lm, masked-lm, image-classification, ..."),
    "component": Option("component", str, "", "the network of a pipeline: unet, vae, text_encoder, ..."),
    "seq": Option("seq", int, None, "length of the inputs: tokens of a text, samples or frames of a sound"),
    "download": Option("download", bool, False, "fetch the config where it isn't in the local cache"),
}
"""Options that are no fields of a config. No config of transformers or diffusers has a field of these names."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The options of a source, sorted."""

    task: str = ""
    component: str = ""
    seq: int | None = None
    download: bool = False
    fields: Mapping[str, Value] = field(default_factory=dict)
    """What replaces fields of the config."""

    @property
    def shown(self) -> dict[str, Value]:
        """The options that say what network it is, on which inputs."""
        own = {"task": self.task, "component": self.component, "seq": self.seq}
        return {**{name: value for name, value in own.items() if value}, **self.fields}


def chosen(source: str, options: Mapping[str, Value]) -> Chosen:
    """The options that were given, sorted into archlab's own and the config's.

    Raises:
        SourceError: one of archlab's own can't be read.
    """
    own: dict[str, Any] = {
        name: OWN[name].convert(value, source) for name, value in options.items() if name in OWN and value is not None
    }
    if own.get("seq", 1) < 1:
        raise SourceError(f"option seq of {source} is {own['seq']}: a sequence has 1 or more")
    return Chosen(**own, fields={name: value for name, value in options.items() if name not in OWN})


def with_fields(
    source: str, config: Mapping[str, Any], known: Mapping[str, Any], given: Mapping[str, Value]
) -> dict[str, Any]:
    """A config with some of its fields replaced; lists that hold a value per layer are cut to fewer layers.

    Args:
        source: the source string, for messages.
        config: the file's own fields.
        known: all fields with their values, also those that the file leaves to their defaults. A field of a config
            within the config is named with a dot, as in `text_config.hidden_size`.
        given: names and new values; texts are read as the type that the field has.

    Raises:
        SourceError: there is no such field, with the nearest names, or a value isn't of its type.
    """
    names = dict(_names(known))
    changed = _copied(config)
    for name, value in given.items():
        if name not in names:
            raise SourceError(f"{source} has no option {name!r}: {nearest(name, {*names, *OWN})}")
        *parents, last = name.split(".")
        inner = changed
        for parent in parents:
            inner = inner.setdefault(parent, {})
        converted = field_option(name, names[name]).convert(value, source)
        layers = names[name] if last in LAYER_COUNTS else None
        inner[last] = list(converted) if isinstance(converted, tuple) else converted
        if isinstance(layers, int) and isinstance(converted, int) and converted < layers:
            for key, item in inner.items():
                if isinstance(item, list) and len(item) == layers and key not in given:
                    inner[key] = item[:converted]
    return changed


LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers")
"""Fields that say how many layers there are."""


def field_option(name: str, value: Any) -> Option:
    """A field of a config as an option, of the type that its value has."""
    kind = type(value) if isinstance(value, bool | int | float | str) else Any
    return Option(name, (int | float) if kind is float else kind, value)


def _names(known: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The names of fields and their values; of configs within the config with a dot."""
    found: list[tuple[str, Any]] = []
    for name, value in known.items():
        found.append((name, value))
        if isinstance(value, Mapping):
            found += [(f"{name}.{inner}", item) for inner, item in value.items() if isinstance(inner, str)]
    return found


def _copied(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copied(value) if isinstance(value, Mapping) else value for key, value in config.items()}
