"""Factories in a user's own Python: a file, or a module that can be imported."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import sysconfig
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from archlab.errors import SourceError, nearest
from archlab.networks.local_modules import OWN, held, local_files
from archlab.networks.strangers import EndedError, contained, described, remembered, words


def load_file(path: Path) -> ModuleType:
    """The module that a Python file defines; its folder can be imported from meanwhile.

    A file is run once in a process, and again only when its text has changed, or that of a module of the user's that it
    imports: those are then imported anew.

    Raises:
        SourceError: the file can't be read, or fails, with the error and its line.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path} can't be read: {error.strerror}: expected a Python file as FILE.py:FACTORY"
        ) from error
    # Classes look their module up by its name: one name per file, so that two files called net.py stay apart.
    module = ModuleType(f"{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}")
    known = _LOADED.get(module.__name__)
    if known is not None:
        if known.text == text and known.imported == _texts(known.imported):
            apply_settings(module)
            return known.module
        for name, other in list(sys.modules.items()):
            if held(other).get("__file__") in known.imported:
                del sys.modules[name]
                for owned in _OWNED.values():
                    owned.pop(name, None)
    module.__file__ = str(path)
    module.__package__ = ""
    sys.modules[module.__name__] = module
    settings: list[Callable[[], None]] = []
    try:
        with searching(path.parent), contained(), remembered(settings):
            # Compiled here, since the import system would leave a __pycache__ beside a file that isn't ours.
            exec(compile(text, str(path), "exec", dont_inherit=True), vars(module))
    except Exception as error:
        del sys.modules[module.__name__]
        hint = ""
        if "relative import" in words(error):
            hint = "; a file of a package is named as package.module:FACTORY"
        raise SourceError(f"{path} can't be imported: {quote(error, str(path))}{hint}") from error
    others = [str(one) for one in local_files([module.__name__], path.parent) if one != path]
    _LOADED[module.__name__] = _Loaded(text, module, settings, _texts(others))
    return module


def apply_settings(module: ModuleType) -> None:
    """Set of torch what the file of a module set when it was read; nothing for another module."""
    for put in _LOADED[module.__name__].settings if module.__name__ in _LOADED else ():
        put()


class _Loaded(NamedTuple):
    """A file that was run."""

    text: bytes
    """When it was run."""
    module: ModuleType
    settings: list[Callable[[], None]]
    """Make its settings of torch."""
    imported: dict[str, bytes]
    """The files of the user's modules that it imports, and their texts."""


def _texts(paths: Iterable[str]) -> dict[str, bytes]:
    found = {}
    for path in paths:
        with suppress(OSError):  # one that is gone is one that has changed
            found[path] = Path(path).read_bytes()
    return found


_LOADED: dict[str, _Loaded] = {}
"""By the name of the module."""


def load_module(name: str) -> ModuleType:
    """The module of a dotted name, looked for in the current folder too.

    Raises:
        SourceError: there is none, or it fails, with the error and its line.
    """
    try:
        with searching(Path.cwd()), contained():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise SourceError(
                f"there is no module {error.name!r} to import {name} from: expected an installed package, or one in "
                f"{Path.cwd()}"
            ) from error
        raise SourceError(f"the module {name} can't be imported: {quote(error)}") from error
    except Exception as error:
        raise SourceError(f"the module {name} can't be imported: {quote(error)}") from error


def find(module: ModuleType, name: str, owner: str) -> object:
    """What a module calls by a name, dotted for what lies inside a class.

    Raises:
        SourceError: nothing is called so, with the nearest names.
    """
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [
                known
                for known, value in vars(found).items()
                if not known.startswith("_") and (callable(value) or isinstance(value, classmethod | staticmethod))
            ]
            raise SourceError(f"{owner} has no {name!r}: {nearest(part, public) if public else 'it defines nothing'}")
        found = getattr(found, part)
    return found


def defined_in(path: Path) -> list[str]:
    """Names of the functions and classes at the top of a Python file, which isn't run; empty if it can't be read."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def quote(error: BaseException, file: str | None = None) -> str:
    """An error's class and message, and where it was raised: in a given file, as near as that is known."""
    message = described(error)
    if isinstance(error, SyntaxError):
        place = f"{error.filename}, line {error.lineno}"
        return f"{type(error).__name__}: {error.msg} ({place})"
    error = error.__cause__ if isinstance(error, EndedError) and error.__cause__ is not None else error
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == file]
    if file is not None and not own:
        return message
    frame = (own or frames)[-1] if frames else None
    return f"{message} ({frame.filename}, line {frame.lineno})" if frame else message


@contextmanager
def searching(folder: Path) -> Iterator[None]:
    """Modules in a folder can be imported, as if Python had been started there, but for names of the standard library.

    A folder with a `profile.py` would else break `import cProfile`, and with it whoever imports that.

    Each folder has modules of its own: where `old/net.py` and `new/net.py` both import `helper`, each gets the one that
    lies beside it.
    """
    entry = str(folder.resolve())
    own = _OWNED.setdefault(entry, {})
    for place, owned in _OWNED.items():
        for name, module in owned.items() if place != entry else ():
            if sys.modules.get(name) is module and (name in own or _has(folder, name)):
                del sys.modules[name]
    sys.modules.update(own)
    standard = sysconfig.get_paths()["stdlib"]
    places = [place for place, path in enumerate(sys.path) if path.startswith(standard) and "-packages" not in path]
    sys.path.insert(places[-1] + 1 if places else 0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)
        own.update(_found_in(entry))


_OWNED: dict[str, dict[str, ModuleType]] = {}
"""Of each folder that was searched, the modules that came from it, by name."""


def _has(folder: Path, name: str) -> bool:
    first = name.partition(".")[0]
    return (folder / first).is_dir() or (folder / f"{first}.py").is_file()


_SEEN: dict[str, dict[str, ModuleType]] = {}
"""Of each folder that was searched, all modules that there were when it was searched last, by name."""


def _found_in(folder: str) -> dict[str, ModuleType]:
    """The modules that came from a folder, by name, of those that are new since the last call for it.

    There are thousands where large libraries are loaded: where most come from is asked once.
    """
    every = sys.modules.copy()
    seen = _SEEN.get(folder, {})
    _SEEN[folder] = every
    begins = folder.rstrip(os.sep) + os.sep
    found = {}
    for name, module in every.items():
        if seen.get(name) is not module:
            path = _origin(held(module))
            if path.startswith(begins) and _lies_in(path, name, folder):
                found[name] = module
    return found


def _origin(known: dict[str, Any]) -> str:
    """Where what a module holds came from: its file, or the folder of a package without one; empty for neither."""
    path = known.get("__file__")
    if isinstance(path, str):
        return path
    return next((path for path in list(known.get("__path__") or ())[:1] if isinstance(path, str)), "")


def _lies_in(path: str, name: str, folder: str) -> bool:
    """Whether a module that came from a path was found in a folder by its name; archlab itself never is."""
    there = str(Path(folder, *name.split(".")))
    return path in (there, f"{there}.py", f"{there}{os.sep}__init__.py") and not path.startswith(OWN)
