"""The user's own modules behind a network: what its file or module imports, outside the installed packages.

For example: `mine.py` has `from helper import act`, and `helper.py` has `import constants` in a function. The files of
`mine` are `mine.py`, `helper.py` and `constants.py`; torch and whatever else is installed is known by its version.

Imports are read from the text of a file, those within functions too, so that nothing is run for it; and a module that
another one holds under a name, however it was imported, is found as what it holds.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

OWN = str(Path(__file__).parents[1])
"""The folder of archlab itself."""
_INSTALLED = tuple({str(Path(path)) for name, path in sysconfig.get_paths().items() if name.endswith("lib")})
_PACKAGES = ("site-packages", "dist-packages")


def local_files(names: Iterable[str], folder: Path | None = None) -> list[Path]:
    """The files of modules, and of all that they import outside installed packages and archlab, sorted.

    Args:
        names: of modules that are imported already; those that are none, or installed, are left out.
        folder: where what is not imported yet is looked for first.
    """
    waiting, files = list(names), dict[str, Path]()
    while waiting:
        name = waiting.pop()
        if name in files or (path := _file(name, folder)) is None:
            continue
        files[name] = path
        waiting += set(_imported(name, path)) | set(_held(sys.modules.get(name)))
    return sorted(set(files.values()))


def held(module: ModuleType | None) -> dict[str, Any]:
    """What a module holds, without asking it: some make up any attribute that they are asked for, or fail."""
    found: dict[str, Any] = getattr(module, "__dict__", {})
    return found


def _file(name: str, folder: Path | None) -> Path | None:
    """The file of a module of the user's; None for another, and where there is none."""
    module = sys.modules.get(name)
    origin = held(module).get("__file__")
    if module is None and name.partition(".")[0] not in sys.stdlib_module_names:
        spec = _spec(name, folder)
        origin = spec.origin if spec is not None and spec.has_location else None
    if not isinstance(origin, str):
        return None
    path = Path(origin)
    place = str(path.resolve())
    installed = place.startswith((OWN, *_INSTALLED)) or any(part in _PACKAGES for part in path.parts)
    return path if not installed and path.is_file() else None


def _spec(name: str, folder: Path | None) -> ModuleSpec | None:
    """Where a module that isn't imported would come from; nothing is run for it."""
    places: list[str] | None = [*([str(folder)] if folder else []), *sys.path]
    spec = None
    for part in name.split("."):
        try:
            spec = PathFinder.find_spec(part, places)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        found = spec.submodule_search_locations
        places = list(found) if found is not None else []
    return spec


def _imported(name: str, path: Path) -> Iterator[str]:
    """The names of modules that a file may import, and of the packages that they lie in."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # an extension module is none
        return
    module = sys.modules.get(name)
    is_package = path.name == "__init__.py"
    package = held(module).get("__package__") or (name if is_package else name.rpartition(".")[0])
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            try:
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:  # a relative import beyond the top
                continue
            found = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        for one in found:
            parts = one.split(".")
            yield from (".".join(parts[: count + 1]) for count in range(len(parts)))


def _held(module: ModuleType | None) -> Iterator[str]:
    """The modules that a module holds, or holds something of."""
    for value in list(held(module).values()):
        if isinstance(value, ModuleType):
            yield value.__name__
        elif isinstance(home := getattr(value, "__module__", None), str):
            yield home
