"""What a network holds, container by container, so that it can be compared and put back.

A module keeps what it has in plain containers: its `__dict__`, and the dictionaries, lists, sets and objects in it. Of

    network.state = State(scale=network.weight, calls=[])      # a dataclass

the snapshot has an entry for each of `vars(network)`, `network._parameters`, ..., `vars(network.state)` and
`network.state.calls`, with a shallow copy of its contents. Putting back compares each with its copy, element by element
and by identity, and writes only where something differs. Writing goes through the methods of the built-in type
(`dict.__setitem__`, `list.__setitem__`), never through a subclass's own, which may refuse, notify or convert: a frozen
dictionary that nothing has changed isn't touched, and one that was is mended all the same.

Tensors are replaced in the same containers. A tuple can't be written to, so that whoever holds it gets a new tuple for
the time; since every container that can be part of a circle is an entry of its own, circles end by themselves.
"""

from __future__ import annotations

import argparse
import random
import sys
import types
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn

_FAMILIES: tuple[Any, ...] = (OrderedDict, dict, list, set, deque)
"""Containers that can be written to. An ordered dictionary keeps its order apart, which `dict`'s methods don't know."""
_NAMESPACES = (types.SimpleNamespace, argparse.Namespace)
_FOREIGN = frozenset(["torch", "numpy", *sys.stdlib_module_names])
"""Packages whose objects aren't looked into: a logger, a lock, a process group. A network doesn't own them."""
OBJECT_DEPTH = 4
"""Objects within objects that are looked into, counted from a module: a helper's helper, not the trainer's data."""
OBJECTS_AT_MOST = 50_000
"""Objects that are looked into in all, nearest first: half a second. What is beyond is somebody's data."""

_FIXED = frozenset([type(None), bool, int, float, str])
_ATOM, _TENSOR, _TUPLE, _MODULE, _OBJECT, _GENERATOR = range(6)
"""What to do with a value; or its family, for a container."""


class Snapshot:
    """Everything that a network holds and may change, as it is now.

    Modules are followed wherever they are held, tuples and containers to any depth, other objects up to
    `OBJECT_DEPTH` and `OBJECTS_AT_MOST`; a jitted module is kept as one thing, since its insides aren't Python's.
    """

    def __init__(self, network: nn.Module) -> None:
        self.modules: list[nn.Module] = []
        self.tensors: dict[int, Tensor] = {}
        """Each tensor once, by identity."""
        self.registered: set[int] = set()
        """Which of them are parameters and buffers of a module, or parameters that no module has registered."""
        self._classes: list[tuple[Any, type]] = []
        self._empty: list[tuple[Any, Any]] = []
        self._filled: list[tuple[Any, Any, Any]] = []
        self._slots: list[tuple[Any, Any, Any]] = []
        self._generators: list[Callable[[], object]] = []
        self._carriers: list[tuple[Any, Any, Any]] = []
        """Entries that hold tensors, themselves or in tuples."""
        self._sorts: dict[type, Any] = {}
        self._slots_of: dict[type, list[Any]] = {}
        self._known: set[int] = set()
        self._pending: deque[tuple[Any, Any, int]] = deque()
        self._look(network, 0)
        objects = 0
        while self._pending:
            value, sort, depth = self._pending.popleft()
            if sort is _MODULE:
                self._module(value)
            elif sort is _OBJECT:
                objects += 1
                if objects <= OBJECTS_AT_MOST:
                    self._attributes(value, depth + 1)
            else:
                self._container(value, sort, depth)

    # Finding

    def _look(self, value: Any, depth: int) -> bool:
        """Notes a value for later if it can change; whether it is a tensor or a tuple with one."""
        kind = type(value)
        if kind in _FIXED:
            return False
        sort = self._sorts.get(kind)
        if sort is None:
            sort = self._sorts[kind] = _sorted(kind)
        if sort is kind and not value:
            self._empty.append((value, kind))
            return False
        if sort is _ATOM:
            return False
        if sort is _TUPLE:
            carries = False
            for item in value:
                if type(item) not in _FIXED and self._look(item, depth):
                    carries = True
            return carries
        key = id(value)
        if key not in self._known:
            self._known.add(key)
            if sort is _TENSOR:
                self._tensor(value, depth)
            elif sort is _GENERATOR:
                self._generators.append(_kept_generator(value))
            elif sort is not _OBJECT or depth < OBJECT_DEPTH:
                self._pending.append((value, sort, depth))
        return sort is _TENSOR

    def _tensor(self, tensor: Tensor, depth: int) -> None:
        self.tensors[id(tensor)] = tensor
        if isinstance(tensor, nn.Parameter):
            self.registered.add(id(tensor))
        for value in tensor.__dict__.values():  # a quantised parameter has its scales there
            self._look(value, depth)

    def _module(self, module: nn.Module) -> None:
        self.modules.append(module)
        own = module.__dict__
        self._classes.append((module, type(module)))
        if isinstance(module, torch.jit.ScriptModule):
            self._filled.append((own, dict, own.copy()))
            return
        for held in (own["_parameters"], own["_buffers"]):
            self.registered.update(id(tensor) for tensor in held.values() if tensor is not None)
        self._container(own, dict, 0)
        self._slotted(module, 0)

    def _container(self, container: Any, family: Any, depth: int) -> None:
        """Keeps what a container has, and looks at each."""
        if family.__len__(container) == 0:
            self._empty.append((container, family))
        else:
            content = _content(container, family)
            entry = (container, family, content)
            self._filled.append(entry)
            look = self._look
            carries = False
            for item in content.values() if type(content) is dict else content:
                if type(item) not in _FIXED and look(item, depth):
                    carries = True
            if type(content) is dict and type(next(iter(content))) not in _FIXED:
                for item in content:
                    if look(item, depth):
                        carries = True
            if carries:
                self._carriers.append(entry)
        if type(container) is not family:
            self._attributes(container, depth)

    def _attributes(self, owner: Any, depth: int) -> None:
        """Keeps what an object has in its `__dict__` and its slots."""
        self._classes.append((owner, type(owner)))
        own = _dictionary(owner)
        if own is not None and id(own) not in self._known:
            self._known.add(id(own))
            self._container(own, dict, depth)
        self._slotted(owner, depth)

    def _slotted(self, owner: Any, depth: int) -> None:
        kind = type(owner)
        slots = self._slots_of.get(kind)
        if slots is None:
            slots = self._slots_of[kind] = _slots(kind)
        if slots:
            content = {slot: _slot(slot, owner) for slot in slots}
            self._slots.append((owner, None, content))
            found = [self._look(item, depth) for item in content.values()]
            if any(found):
                self._carriers.append((owner, None, content))

    # Replacing and putting back

    def replace(self, stand_in: Callable[[Tensor], Any]) -> None:
        """Put something else in the place of each tensor, wherever it is held."""

        def changed(item: Any) -> Any:
            sort = self._sorts.get(type(item), _ATOM)
            if sort is _TENSOR:
                return stand_in(item)
            return _rebuilt(item, changed) if sort is _TUPLE else item

        for container, family, content in self._carriers:
            if family is None:
                for slot, item in content.items():
                    if (other := changed(item)) is not item:
                        slot.__set__(container, other)
            elif type(content) is dict:
                pairs = {changed(key): changed(item) for key, item in content.items()}
                if all(map(is_, pairs, content)):
                    for key, item in content.items():
                        if pairs[key] is not item:
                            family.__setitem__(container, key, pairs[key])
                else:
                    _fill(container, family, pairs)
            else:
                _fill(container, family, [changed(item) for item in content])

    def restore(self) -> None:
        """Put back what has changed since, and touch nothing else."""
        for owner, kind in self._classes:
            if type(owner) is not kind:
                owner.__class__ = kind  # a lazy module has become what it was to be
        for container, family in self._empty:
            if family.__len__(container):
                family.clear(container)
        for container, family, content in self._filled:
            if not _is_same(container, family, content):
                _fill(container, family, content)
        for owner, _, content in self._slots:
            for slot, item in content.items():
                if _slot(slot, owner) is item:
                    continue
                if item is _UNSET:
                    slot.__delete__(owner)
                else:
                    slot.__set__(owner, item)
        for put_back in self._generators:
            put_back()


def _sorted(kind: type) -> Any:
    """What to do with values of a type."""
    if issubclass(kind, Tensor):
        return _TENSOR
    if issubclass(kind, nn.Module):
        return _MODULE
    if issubclass(kind, (tuple, frozenset)):
        return _ATOM if kind is torch.Size else _TUPLE
    for family in _FAMILIES:
        if issubclass(kind, family):
            return family
    numpy = sys.modules.get("numpy")
    if issubclass(kind, (torch.Generator, random.Random)) or (numpy and issubclass(kind, numpy.random.Generator)):
        return _GENERATOR
    if issubclass(kind, (type, types.FunctionType, types.ModuleType, str, bytes, int, float)):
        return _ATOM
    if kind not in _NAMESPACES and str(kind.__module__).partition(".")[0] in _FOREIGN:
        return _ATOM
    return _OBJECT if getattr(kind, "__dictoffset__", 0) or _slots(kind) else _ATOM


def _content(container: Any, family: Any) -> Any:
    """A shallow copy: a dict of a dictionary, else a list."""
    if issubclass(family, dict):
        return dict(family.items(container))
    return list(family.__iter__(container))


def _is_same(container: Any, family: Any, content: Any) -> bool:
    if family.__len__(container) != len(content) or not all(map(is_, family.__iter__(container), content)):
        return False
    return type(content) is not dict or all(map(is_, family.values(container), content.values()))


def _fill(container: Any, family: Any, content: Any) -> None:
    """Makes the content of a container what it was, by the methods of its family."""
    if family is list:
        list.__setitem__(container, slice(None), content)
        return
    family.clear(container)
    if type(content) is dict:
        for key, item in content.items():
            family.__setitem__(container, key, item)
    elif family is set:
        set.update(container, content)
    else:
        deque.extend(container, content)


def _rebuilt(items: Any, changed: Callable[[Any], Any]) -> Any:
    """A tuple or frozen set with other tensors, of its own class; itself if there are none in it."""
    found = [changed(item) for item in items]
    if all(map(is_, found, items)):
        return items
    base = tuple if isinstance(items, tuple) else frozenset
    try:
        made: Any = base.__new__(type(items), found)
    except TypeError:  # one of C's, as torch.max returns
        made = type(items)(found)
    own = _dictionary(items)
    if own:
        made.__dict__.update(own)
    return made


# Objects


def _dictionary(owner: Any) -> dict[str, Any] | None:
    """An object's own `__dict__`, whatever its class answers for attributes; None if it has none."""
    try:
        own = object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None
    return own if type(own) is dict else None


def _slots(kind: type) -> list[Any]:
    """The descriptors of the slots that a class and its bases in Python declare."""
    return [
        descriptor
        for base in kind.__mro__
        if "__slots__" in vars(base)
        for descriptor in vars(base).values()
        if isinstance(descriptor, types.MemberDescriptorType)
    ]


_UNSET = object()


def _slot(descriptor: Any, owner: Any) -> Any:
    try:
        return descriptor.__get__(owner, type(owner))
    except AttributeError:
        return _UNSET


def _kept_generator(generator: Any) -> Callable[[], object]:
    """A function that puts back where a source of random numbers was."""
    if isinstance(generator, torch.Generator):
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, random.Random):
        return partial(generator.setstate, generator.getstate())
    return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)
