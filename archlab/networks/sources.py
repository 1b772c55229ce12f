"""Where a network comes from: a source string, parsed once, becomes a `Source` that can build it.

| source | what it names |
| --- | --- |
| `NAME` | a registered network: archlab's own, and other packages' |
| `torchvision:NAME`, `timm:NAME` | a network of a model zoo, without trained weights |
| `FILE.py:FACTORY` | a class, a function or a module in a Python file, which is run for it |
| `package.module:FACTORY` | the same in a module that can be imported, from the current folder too |
| `FILE.pt2` | a program that `torch.export.save` wrote, with its weights |
| `hf:ORG/NAME`, `hf:FOLDER`, `config.json` | a network of transformers or diffusers by its config, without weights |
"""

from __future__ import annotations

import copy
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from archlab.errors import InputError, SourceError, UntrustedError
from archlab.networks import imports, registry, zoos
from archlab.networks.copying import copied
from archlab.networks.hugging_face.sources import hub_model
from archlab.networks.members import refuse_unsound
from archlab.networks.operating import NOTHING, Operation, divided, offered
from archlab.networks.options import Option, Signature, plain_value, read_signature
from archlab.networks.programs import refuse_program
from archlab.networks.strangers import contained, left_as_found
from archlab.networks.weightless import build_weightless
from archlab.records import Shape, Value
from archlab.records.display import Shown
from archlab.records.listed import ListedNetwork

SOURCE_FORMS = (
    "a registered name, torchvision:NAME, timm:NAME, hf:ORG/NAME, hf:FOLDER, FILE.py:FACTORY, package.module:FACTORY "
    "or FILE.pt2"
)
_MOVE = "write it, or a function that builds it, into a file, and name FILE.py:FACTORY"
IN_MAIN = "{name} is defined in a notebook or in the running script, which other processes can't import"
"""Why what `__main__` defines can't be built elsewhere."""


@dataclass(frozen=True, slots=True)
class Source(Shown):
    """A network that can be built, as often as it is wanted."""

    name: str
    """The source string."""
    make: Callable[[], nn.Module]
    """Calls the factory with the options."""
    options: Mapping[str, Value] = field(default_factory=dict)
    """The options that were given, in their own types."""
    input_shapes: tuple[Shape, ...] = ()
    """Shapes of its inputs, batch 1 first; empty where the source knows none."""
    available: Mapping[str, Option] = field(default_factory=dict)
    """All options that it names, given or not."""
    summary: str = ""
    """What it is, in a line."""
    is_builtin: bool = False
    """Whether it is a registered network."""
    has_weights: bool = False
    """Whether the network exists already, with weights of its own: an exported program, a module in a file."""
    file: str | None = None
    """The Python file it is defined in, if the user named one."""
    module: str = ""
    """The name of the module that defines its factory, where that is the user's."""
    local: str = ""
    """Why no other process can build it, as the beginning of a sentence; empty where any can."""
    notes: list[str] = field(default_factory=list)
    """Sentences that belong under a table: what `build` had to do otherwise."""
    make_inputs: Callable[[nn.Module, int | None], Mapping[str, Any]] | None = None
    """Gives the inputs by name, of any kind that `archlab.tracing.trace` takes, for the network and a batch (None for
    the usual one). None where `input_shapes` says all."""
    configure: Callable[[Mapping[str, Value]], Source] | None = None
    """Gives the same network for other options, without looking it up again."""
    operation: Operation = NOTHING
    """What is changed in the network once its factory has built it, since the factory has no option for that."""

    @property
    def listed(self) -> ListedNetwork:
        """What is shown of it: all its options, and the input that it was made for where there is one."""
        options = tuple(option.listed for option in self.available.values())
        shape = self.input_shapes[0][1:] if len(self.input_shapes) == 1 else ()
        return ListedNetwork(self.name, self.summary, options, shape)

    def _drawn(self) -> ListedNetwork:
        return self.listed

    def with_options(self, options: Mapping[str, Value]) -> Source:
        """The same network with these options instead of its own; a file isn't run again.

        Raises:
            SourceError: an option is unknown or can't be read.
        """
        if dict(options) == dict(self.options) or self.configure is None:
            return self
        return self.configure(options)

    def shown(self, inputs: object) -> Source:
        """The same network, known to be run on these inputs, as `archlab.networks.surgery` takes them."""
        return replace(self, operation=replace(self.operation, inputs=inputs)) if self.operation else self

    def build(self, device: Literal["cpu", "meta"] = "cpu") -> nn.Module:
        """A new network with real weights (`cpu`), or one whose parameters take no memory (`meta`).

        A network that can't be built on the meta device is built on the CPU, and `notes` says so; one that has weights
        already keeps them. For `meta` the random state stays as it was.

        Raises:
            SourceError: the factory fails, with its error; or what it returns is no `nn.Module`.
            InputError: its normalisation or its skip connections can't be switched as the options say.
        """
        return self.operated(self.untouched(device))

    def operated(self, network: nn.Module) -> nn.Module:
        """A network that `untouched` gave, with its normalisation and its skip connections as the options say.

        `notes` says what was changed.
        """
        if not self.operation:
            return network
        known: object = list(self.input_shapes) or None
        if known is None and self.make_inputs is not None:
            known = self.make_inputs(network, None)
        changed, said = self.operation.perform(network, known)
        self.notes.extend(note for note in said if note not in self.notes)
        return changed

    def untouched(self, device: Literal["cpu", "meta"] = "cpu") -> nn.Module:
        """As `build`, before anything of the network is replaced."""
        with left_as_found(draws=device == "cpu"):
            return self._untouched(device)

    def _untouched(self, device: Literal["cpu", "meta"]) -> nn.Module:
        if device == "cpu" or self.has_weights:
            return self._build()
        try:
            with contained():
                return self._checked(build_weightless(self.make))
        except InputError:
            raise
        except Exception as error:
            with torch.random.fork_rng(devices=[]):
                network = self._build()
            reason = imports.quote(error, self.file)
            note = f"Built on the CPU with real weights, since it can't be built without: {reason}."
            if note not in self.notes:
                self.notes.append(note)
            return network

    def _build(self) -> nn.Module:
        try:
            with contained():
                return self._checked(self.make())
        except InputError:
            raise
        except Exception as error:
            settings = ", ".join(f"{name}={value}" for name, value in self.options.items())
            raise SourceError(
                f"{self.name} can't be built with {settings or 'its defaults'}: {imports.quote(error, self.file)}"
            ) from error

    def _checked(self, network: object) -> nn.Module:
        if isinstance(network, nn.Module):
            refuse_unsound(network)
            return network
        raise SourceError(
            f"{self.name} gives a value of type {type(network).__name__}, expected a torch.nn.Module: "
            "name a class or a function that returns one"
        )


def resolve(source: str, options: Mapping[str, Value] | None = None) -> Source:
    """What a source string names, with its options checked; no network is built yet.

    Raises:
        SourceError: the source or an option is unknown or can't be read, with the nearest names.
    """
    with left_as_found():
        return _resolved(source, dict(options or {}))


def _resolved(source: str, given: dict[str, Value]) -> Source:
    before, colon, after = source.rpartition(":")
    if "<" in after or after.endswith("()"):
        raise SourceError(f"{source} was an object of another Python process, and no name finds it: {_MOVE}")
    if Path(source).suffix == ".pt2":
        return _exported(source, given)
    if before == "hf" or Path(source).name == "config.json":
        return _hugging_face(source, given)
    if not colon:
        return _registered(source, given)
    if before in ("torchvision", "timm"):
        return _zoo(source, zoos.torchvision_model(after) if before == "torchvision" else zoos.timm_model(after), given)
    if not after:
        raise SourceError(f"{source!r} names no factory after the colon; expected {SOURCE_FORMS}")
    if before.endswith(".py"):
        path = Path(before).expanduser()
        with torch.random.fork_rng(devices=[]):  # what a file draws or seeds when it is run is no business of ours
            module = imports.load_file(path)
        return source_of_object(source, imports.find(module, after, before), given, path)
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", before):
        module, local = imports.load_module(before), IN_MAIN.format(name=after) if before == "__main__" else ""
        if local and not hasattr(module, after.partition(".")[0]):
            raise SourceError(f"{source} was defined in a notebook or a script, and this process is another: {_MOVE}")
        return source_of_object(source, imports.find(module, after, before), given, local=local)
    raise SourceError(f"{source!r} is no source: expected {SOURCE_FORMS}")


def build(source: str, /, **options: Value) -> nn.Module:
    """A new network with real weights on the CPU, from its source.

    Raises:
        SourceError: the source or an option is unknown or can't be read, with the nearest names.

    >>> build("lenet", norm="none")(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return resolve(source, options).build()


def _registered(source: str, options: Mapping[str, Value]) -> Source:
    path = Path(source)
    if path.suffix == ".py":
        defined = imports.defined_in(path)
        choice = f"it defines {', '.join(defined)}: try {source}:{defined[0]}" if defined else f"as {source}:FACTORY"
        raise SourceError(f"{source} names a file and nothing in it; {choice}")
    if path.suffix.lower() == ".onnx":
        raise SourceError(
            f"{source} is a graph, and no network that can be built: archlab.trace and the commands shapes, growth, "
            "diff, check, graph and report measure it; whatever runs or trains a network needs the source that it was "
            "exported from"
        )
    if path.suffix in (".pt", ".pth", ".ckpt", ".safetensors"):
        listed = f"; archlab shapes {source} lists them" if path.suffix == ".safetensors" else ""
        raise SourceError(
            f"{source} holds weights, not a network that can be built: expected FILE.py:FACTORY for the code, "
            f"hf:FOLDER for a config, or a program as FILE.pt2, which torch.export.save writes{listed}"
        )
    entry = registry.entry(source)
    given, operation = divided(entry.signature, options, entry.name, is_ours=entry.is_ours)
    arguments = entry.signature.arguments(given, entry.name)
    shape = entry.shape(arguments)
    return Source(
        source,
        lambda: entry.build(**arguments),
        options=_plain(arguments) | operation.options,
        input_shapes=((1, *shape),) if shape else (),
        available=offered(entry.signature, is_ours=entry.is_ours),
        is_builtin=True,
        configure=partial(_registered, source),
        operation=operation,
    )


def _zoo(source: str, model: zoos.ZooModel, options: Mapping[str, Value]) -> Source:
    given, operation = divided(model.signature, options, source)
    arguments = model.signature.arguments(given, source)
    return Source(
        source,
        lambda: model.factory(**arguments),
        options=_plain(arguments) | operation.options,
        input_shapes=zoos.adapt(model.input_shapes, arguments),
        available=offered(model.signature),
        configure=partial(_zoo, source, model),
        operation=operation,
    )


def _hugging_face(source: str, options: Mapping[str, Value]) -> Source:
    given, operation = divided(Signature({}, is_open=True), options, source)
    model = hub_model(source, source.removeprefix("hf:"), given)
    return Source(
        source,
        model.make,
        options=_plain(model.options) | operation.options,
        available=offered(Signature(model.available)),
        summary=model.summary,
        notes=model.notes,
        make_inputs=model.inputs,
        configure=partial(_hugging_face, source),
        operation=operation,
    )


def source_of_object(
    source: str, found: object, options: Mapping[str, Value], path: Path | None = None, local: str = ""
) -> Source:
    """The source of what Python has already, under a name.

    Args:
        source: the name.
        found: a module, or what is called for one.
        options: what it is called with.
        path: the file that it was found in, whose folder is searched by what it imports.
        local: see `Source.local`.

    Raises:
        SourceError: it is neither, or an option is not for it.
    """
    if isinstance(found, nn.Module):
        given, operation = divided(Signature({}), options, source)
        Signature({}).arguments(given, source)
        return Source(
            source,
            partial(copied, source, found),
            options=operation.options,
            available=offered(Signature({})),
            has_weights=True,
            file=str(path) if path else None,
            local=local,
            configure=partial(source_of_object, source, found, path=path, local=local),
            operation=operation,
        )
    if not callable(found):
        raise SourceError(
            f"{source} is of type {type(found).__name__}, expected a torch.nn.Module, its class, or a "
            "function that returns one"
        )
    signature = read_signature(found)
    given, operation = divided(signature, options, source, is_open=signature.is_open)
    arguments = signature.arguments(given, source)

    def make() -> nn.Module:
        if path and (module := sys.modules.get(getattr(found, "__module__", ""))):
            imports.apply_settings(module)
        with imports.searching(path.parent) if path else nullcontext():  # for what is imported when it is called
            return found(**arguments)  # type: ignore[no-any-return]

    return Source(
        source,
        make,
        options=_plain(arguments) | operation.options,
        available=offered(signature, is_open=signature.is_open),
        file=str(path) if path else None,
        module=getattr(found, "__module__", None) or "",
        local=local,
        configure=partial(source_of_object, source, found, path=path, local=local),
        operation=operation,
    )


def _exported(source: str, options: Mapping[str, Value]) -> Source:
    Signature({}).arguments(options, source)
    path = Path(source).expanduser()
    if not path.is_file():
        raise SourceError(f"there is no file {source}: expected a program that torch.export.save wrote")
    if not zipfile.is_zipfile(path):
        raise SourceError(
            f"{source} is no archive of torch.export: write it by torch.export.save(program, {path.name!r})"
        )
    try:
        refuse_program(path)
        program = torch.export.load(path)
    except UntrustedError:
        raise
    except Exception as error:  # the archive's reader raises whatever its parts do
        raise SourceError(
            f"{source} can't be read as a program of torch.export: {type(error).__name__}: {error}; it may come from "
            f"another version than torch {torch.__version__}"
        ) from error

    def make() -> nn.Module:
        network = copy.deepcopy(program.module())
        for name in ("train", "eval"):
            # The program's own raise; what it computes was fixed when it was exported, whatever its mode is called.
            vars(network).pop(name, None)
        return network

    positional, named = program.example_inputs or ((), {})
    tensors = [value for value in positional if isinstance(value, torch.Tensor)]
    is_plain = len(tensors) == len(positional) and not named
    shapes = tuple(tuple(tensor.shape) for tensor in tensors) if is_plain else ()
    return Source(source, make, input_shapes=shapes, has_weights=True, configure=partial(_exported, source))


def _plain(arguments: Mapping[str, object]) -> dict[str, Value]:
    return {name: plain_value(value) for name, value in arguments.items()}
