"""Networks of transformers: the class that a config or a task names, built from the config alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import nn

from archlab.errors import SourceError, nearest
from archlab.networks.hugging_face.configs import Located, needs, unknown_class
from archlab.networks.hugging_face.options import OWN, Chosen, field_option, with_fields
from archlab.networks.members import modules
from archlab.networks.options import Option

_DERIVED = ("num_labels",)
"""Names that configs take, but don't keep as fields."""

_WARNING = "warn_if_padding_and_no_attention_mask"
"""A method that looks into the tokens, which have no values here, for nothing but a warning."""


def _unwarned(*args: object, **kwargs: object) -> None:
    pass


class Transformer:
    """One network of transformers: its config, its class and its options.

    Raises:
        SourceError: transformers isn't installed or doesn't know the config, the task or an option.
    """

    def __init__(self, located: Located, chosen: Chosen) -> None:
        try:
            import transformers
        except ModuleNotFoundError as error:
            if error.name != "transformers":
                raise
            raise needs(located.source, "transformers") from error
        self.source = located.source
        self.library = transformers
        with quiet():
            kind = self._config_class(located.config)
            known = self._config(kind, located.config).to_dict()
            known |= {alias: known.get(name) for alias, name in kind.attribute_map.items()}
            known |= dict.fromkeys(_DERIVED)
            self.fields = known
            self.config = self._config(kind, with_fields(self.source, located.config, known, chosen.fields))
            if not any(name.rpartition(".")[2] == "use_cache" for name in chosen.fields):
                _without_cache(self.config)
            self.task = chosen.task
            self.network_class = self._network_class(located.config.get("architectures"))

    @property
    def notes(self) -> list[str]:
        """What must be said about numbers that the config alone gives."""
        quantised = getattr(self.config, "quantization_config", None)
        if not quantised:
            return []
        method = quantised.get("quant_method", "") if isinstance(quantised, Mapping) else ""
        return [
            f"The config names a quantisation ({method or 'of its own kind'}), which isn't applied to this network."
        ]

    @property
    def available(self) -> dict[str, Option]:
        """All options: archlab's own and the config's fields."""
        own = {name: option for name, option in OWN.items() if name != "component"}
        own["task"] = replace(own["task"], help=f"the head: {', '.join(self._tasks())}")
        fields = {name: value for name, value in self.fields.items() if not name.startswith("_")}
        return own | {name: field_option(name, value) for name, value in fields.items()}

    @property
    def summary(self) -> str:
        """Its class and its config's type, in a line."""
        return f"{self.network_class.__name__} of transformers, by a config of the type {self.config.model_type}."

    def make(self) -> nn.Module:
        """The network with new weights, as transformers builds it from the config."""
        import copy

        with quiet():
            network: nn.Module = self.network_class._from_config(copy.deepcopy(self.config))
        for module in modules(network):
            if hasattr(module, _WARNING):
                setattr(module, _WARNING, _unwarned)
        return network

    def _config_class(self, config: Mapping[str, Any]) -> Any:
        kind = config.get("model_type")
        if not kind:
            return self._named((config.get("architectures") or [""])[0]).config_class
        mapping = self.library.CONFIG_MAPPING
        if kind not in mapping:
            raise SourceError(
                f"{self.source} is of the model_type {kind!r}, which transformers {self.library.__version__} doesn't "
                f"know: {nearest(str(kind), mapping.keys())}"
            )
        return mapping[kind]

    def _config(self, kind: Any, fields: Mapping[str, Any]) -> Any:
        try:
            return kind.from_dict(dict(fields))
        except Exception as error:  # whatever the checks of the config's own class raise
            text = " ".join(str(error).split())
            raise SourceError(f"{self.source} is no {kind.__name__} that transformers takes: {text}") from error

    def _network_class(self, architectures: Any) -> Any:
        if self.task:
            return self._of_task()
        if architectures:
            return self._named(str(architectures[0]))
        if type(self.config) not in self.library.AutoModel._model_mapping:
            raise SourceError(
                f"{self.source} names no architecture, and {self.config.model_type} has no base model: expected a task "
                f"(--option task=...) of {', '.join(self._tasks())}"
            )
        return self._mapped(self.library.AutoModel)

    def _named(self, name: str) -> Any:
        found = getattr(self.library, name, None)
        if not isinstance(found, type) or not issubclass(found, self.library.PreTrainedModel):
            known = [item for item in dir(self.library) if re.search(r"(Model|For[A-Z]\w+|Head)$", item)]
            raise unknown_class(self.source, name, known, f"transformers {self.library.__version__}")
        return found

    def _of_task(self) -> Any:
        tasks = self._tasks()
        if self.task not in tasks:
            raise SourceError(
                f"{self.source} ({self.config.model_type}) can't be built for the task {self.task!r}: "
                f"{nearest(self.task, tasks)}"
            )
        return self._mapped(tasks[self.task])

    def _mapped(self, auto: Any) -> Any:
        found = auto._model_mapping[type(self.config)]
        return found[0] if isinstance(found, tuple) else found

    def _tasks(self) -> dict[str, Any]:
        """Task -> the Auto class for it, of those that there are for this config."""
        found = {}
        for name in dir(self.library):
            auto = getattr(self.library, name) if name.startswith("AutoModel") else None
            if auto is not None and type(self.config) in getattr(auto, "_model_mapping", ()):
                found[task_name(name)] = auto
        return found


def _without_cache(config: Any) -> None:
    """Have a network return no keys and values for tokens to come: one pass is all that is asked of it."""
    for part in (config, *(getattr(config, name, None) for name in config.sub_configs)):
        if getattr(part, "use_cache", None):
            part.use_cache = False


def task_name(auto: str) -> str:
    """The task of one of transformers' Auto classes.

    >>> task_name("AutoModelForCausalLM"), task_name("AutoModelForSeq2SeqLM"), task_name("AutoModel")
    ('causal-lm', 'seq2seq-lm', 'base')
    """
    words = auto.removeprefix("AutoModelFor").removeprefix("AutoModel")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=X)(?=V)", "-", words.replace("Seq2SeqLM", "Seq2seqLM")).lower() or "base"


_SILENT = 50
"""The level of Python's logging above which libraries say nothing."""


@contextmanager
def quiet() -> Iterator[None]:
    """A context in which transformers keeps its remarks to itself: errors are said by what it raises."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(_SILENT)
    try:
        yield
    finally:
        logging.set_verbosity(before)
