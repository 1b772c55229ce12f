"""Finds a network's config: in a folder, in a file, in Hugging Face's local cache, or, if asked, on the hub."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archlab.errors import SourceError, cut, nearest

CONFIG = "config.json"
PIPELINE = "model_index.json"
ADAPTER = "adapter_config.json"
LARGEST_CONFIG = 16 * 2**20
"""Bytes of a config; vocabularies of labels make large ones, but none as large as this."""

_HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(?:/(?P<folder>[\w.-]+))?")


@dataclass(frozen=True, slots=True)
class Located:
    """A config that was found."""

    source: str
    """The source string."""
    config: dict[str, Any]
    folder: Path
    """The folder that it lies in."""

    @property
    def is_diffusers(self) -> bool:
        """Whether it is one of diffusers' configs, and none of transformers'."""
        return "_class_name" in self.config


def locate(source: str, reference: str, *, component: str = "", download: bool = False) -> Located:
    """The config that a reference names: a folder, a JSON file, or `ORG/NAME` in the cache or on the hub.

    Args:
        source: what the user typed, for messages.
        reference: what comes behind `hf:`.
        component: the part of a pipeline that is meant.
        download: whether what isn't in the cache is fetched: the config alone, never weights.

    Raises:
        SourceError: there is none, it can't be read, it needs the repository's own code, or it is that of a pipeline.
    """
    path = Path(reference).expanduser()
    if path.is_file():
        if component:
            raise SourceError(f"{source} is a file and no pipeline: leave the option component={component} out")
        return _checked(source, path)
    if path.is_dir():
        return _in_folder(source, path, component)
    name = _HUB_NAME.fullmatch(reference)
    if name is None or reference.startswith("."):
        raise SourceError(f"{source} names no folder and no file that is there: expected hf:ORG/NAME or hf:FOLDER")
    hub = _Hub(source, name["repository"], download)
    folder = component or name["folder"] or ""
    found = hub.file(f"{folder}/{CONFIG}" if folder else CONFIG)
    if found is not None:
        return _checked(source, found)
    index = hub.file(PIPELINE)
    if index is not None:
        parts = _parts(index)
        raise _choice(source, index, parts, folder)
    raise hub.missing(folder)


def _in_folder(source: str, folder: Path, component: str) -> Located:
    index = folder / PIPELINE
    if component and not (folder / component / CONFIG).is_file():
        if index.is_file():
            raise _choice(source, index, _parts(index), component)
        raise SourceError(f"{source} is no pipeline, and has no component {component!r}: leave the option out")
    path = folder / component / CONFIG
    if path.is_file() and (component or not index.is_file()):
        return _checked(source, path)
    if index.is_file():
        raise _choice(source, index, _parts(index), "")
    if (folder / ADAPTER).is_file():
        base = _read(folder / ADAPTER).get("base_model_name_or_path") or "another"
        raise SourceError(f"{source} holds an adapter (peft) alone, for the network {base}: name that, as hf:{base}")
    weights = sorted(folder.glob("*.safetensors"))
    hint = f"; archlab shapes {weights[0]} lists what its weights are" if weights else ""
    raise SourceError(f"{source} has no {CONFIG}: expected a folder that save_pretrained wrote, or a copy of one{hint}")


def _parts(index: Path) -> dict[str, str]:
    """Name -> class of the networks of a pipeline."""
    entries = _read(index)
    return {
        name: str(entry[1])
        for name, entry in entries.items()
        if isinstance(entry, list) and len(entry) == 2 and entry[1] and _is_network(str(entry[1]))
    }


def _is_network(kind: str) -> bool:
    return not kind.endswith(("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor", "ProcessorFast"))


def _choice(source: str, index: Path, parts: dict[str, str], given: str) -> SourceError:
    pipeline = _read(index).get("_class_name", "pipeline")
    listed = ", ".join(f"{name} ({kind})" for name, kind in parts.items()) or "no network"
    example = next(iter(parts), "unet")
    if given:
        return SourceError(f"{source} has no component {given!r}, or its config isn't there: it consists of {listed}")
    return SourceError(
        f"{source} is a pipeline ({pipeline}) of {listed}: name one, as {source}/{example} or --option "
        f"component={example}"
    )


def _checked(source: str, path: Path) -> Located:
    config = _read(path)
    if "schema" in config and "layers" in config:
        raise SourceError(f"{path} is a trace of archlab's, not a network's config: name it without hf:")
    if not {"_class_name", "model_type", "architectures"} & config.keys():
        raise SourceError(
            f"{path} is no config of transformers or diffusers: it names neither a model_type nor a _class_name"
        )
    return Located(source, config, path.parent)


def with_known_code(located: Located, options: dict[str, Any]) -> Located:
    """The same, if no code of the repository's own is needed; `auto_map=none` among the options gives that code up.

    Raises:
        SourceError: the config asks for the repository's code, which is never run.
    """
    config = dict(located.config)
    given = str(options.pop("auto_map", "") or "none").lower() if "auto_map" in options else ""
    if given == "none":
        config.pop("auto_map", None)
    if config.get("auto_map"):
        kind = config.get("model_type", "")
        way = (
            f"; to build transformers' own {kind!r} instead, if it has one, give --option auto_map=none" if kind else ""
        )
        raise SourceError(
            f"{located.source} is built by Python code of its repository (auto_map in its config), and archlab runs no "
            f"such code: name the code yourself, as FILE.py:FACTORY{way}"
        )
    return replace(located, config=config)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST_CONFIG:
            raise SourceError(f"{path} is no config: it has more than {LARGEST_CONFIG:,} bytes")
        found = json.loads(path.read_bytes())
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is no JSON: {type(error).__name__}: {cut(error)}") from error
    if not isinstance(found, dict):
        raise SourceError(f"{path} is no config: expected a JSON object, found a {type(found).__name__}")
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which the hub's library doesn't print each of its attempts: one message follows, if all fail."""
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


class _Hub:
    """The files of a repository, in the local cache or on the hub."""

    def __init__(self, source: str, repository: str, download: bool) -> None:
        self.source = source
        self.repository = repository
        self.download = download
        self.failure: Exception | None = None

    def file(self, name: str) -> Path | None:
        """A file's path in the cache, fetched if that was asked for; None where there is none.

        Raises:
            SourceError: huggingface_hub isn't installed.
        """
        try:
            import huggingface_hub
        except ModuleNotFoundError as error:
            raise needs(self.source, "huggingface_hub") from error
        try:
            found = huggingface_hub.try_to_load_from_cache(self.repository, name)
            if isinstance(found, str):
                return Path(found)
            if not self.download:
                return None
            if isinstance(self.failure, huggingface_hub.errors.LocalEntryNotFoundError):
                return None  # the hub wasn't reached: asking again would take as long
            with _quiet():
                return Path(huggingface_hub.hf_hub_download(self.repository, name))
        except Exception as error:  # the hub's errors, a connection's, an invalid name's
            self.failure = error
            return None

    def missing(self, folder: str) -> SourceError:
        """The error where a config isn't there, with what can be done."""
        what = f"the config of {self.repository}" + (f"/{folder}" if folder else "")
        if not self.download:
            return SourceError(
                f"{self.source} isn't a folder, and {what} isn't in the local cache of Hugging Face: fetch it with "
                "--download (download=True), or name a folder that holds it, as hf:FOLDER"
            )
        lines = str(self.failure or "").strip().splitlines() or ["it has none"]
        return SourceError(f"{what} can't be downloaded: {type(self.failure).__name__}: {lines[0]}")


def needs(source: str, library: str) -> SourceError:
    """The error where a library is missing."""
    return SourceError(f"{source} needs {library}, which isn't installed: pip install 'archlab[hf]'")


def unknown_class(source: str, name: str, known: list[str], library: str) -> SourceError:
    """The error where a library has no such class."""
    return SourceError(f"{source} names the class {name!r}, which {library} has none of: {nearest(name, known)}")
