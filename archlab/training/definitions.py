"""What a class does that no file holds: one that a notebook's cell, or `python -`, defines.

A run's key is made from the source files of its network's classes. Where there is no file, it is made from what Python
compiled: byte code, constants, names and defaults of the class's functions, of its bases, and of whatever else of the
same module they name, through all levels. So a cell that is run again as it was gives the same key, also in another
kernel; one that is changed gives another.

*What it does not see*: values of other types than Python's plain ones (an array that a function reads, say) are known
by their type alone. The network's first weights are part of the key in any case.
"""

from __future__ import annotations

from types import CodeType, FunctionType
from typing import Any

_INCIDENTAL = {"__module__", "__dict__", "__weakref__", "__doc__", "__firstlineno__", "__static_attributes__"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))


def definition(kind: type) -> bytes:
    """What a class and all that it uses of its own module do, as bytes that are equal where they are.

    >>> def make(factor):
    ...     class Scale:
    ...         def forward(self, x):
    ...             return factor * x
    ...     return Scale
    >>> definition(make(2)) == definition(make(2)), definition(make(2)) == definition(make(3))
    (True, False)
    """
    return repr(_described(kind, kind.__module__, set())).encode()


def _described(value: Any, module: str, seen: set[int]) -> Any:
    """Nested tuples of plain values, in an order that doesn't change from one process to another."""
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, CodeType):
        constants = [_described(constant, module, seen) for constant in value.co_consts]
        return value.co_code, value.co_names, value.co_varnames, value.co_freevars, constants
    if id(value) in seen:
        return "as before"
    if isinstance(value, list | tuple):
        return [_described(item, module, seen) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(repr(_described(item, module, seen)) for item in value)
    if isinstance(value, dict):
        return [(repr(key), _described(item, module, seen)) for key, item in value.items()]
    if isinstance(value, staticmethod | classmethod):
        return type(value).__name__, _described(value.__func__, module, seen)
    if isinstance(value, property):
        return [_described(part, module, seen) for part in (value.fget, value.fset, value.fdel)]
    if getattr(value, "__module__", None) != module:
        return getattr(value, "__module__", ""), getattr(value, "__qualname__", type(value).__qualname__)
    seen.add(id(value))
    if isinstance(value, FunctionType):
        used = sorted(_names(value.__code__) & value.__globals__.keys())
        cells = [cell.cell_contents for cell in value.__closure__ or () if not _is_empty(cell)]
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
        return [_described(part, module, seen) for part in [*parts, *((n, value.__globals__[n]) for n in used)]]
    if isinstance(value, type):
        held = {name: item for name, item in vars(value).items() if name not in _INCIDENTAL}
        return value.__qualname__, [_described(part, module, seen) for part in (value.__bases__, held)]
    return type(value).__qualname__


def _names(code: CodeType) -> set[str]:
    """The names that a function, and what is defined inside it, looks up."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _is_empty(cell: Any) -> bool:
    try:
        return cell.cell_contents is cell  # raises where nothing is in it yet
    except ValueError:
        return True
