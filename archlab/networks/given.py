"""A network in whatever form Python has it, as a `Source`: its source's name, a module, a class, or a function.

| what is given | its source |
| --- | --- |
| `"lenet"`, any source's name | as `resolve` reads it |
| a class or function of a module that can be imported | `package.module:NAME`, or `FILE.py:NAME` |
| one that a notebook, the running script or a function defines | `module:NAME`, in this process alone |
| an `nn.Module` | `CLASS()`, in this process alone; each run trains a copy, from the module's own weights |

What this process alone has, other processes can't build: `Source.local` says why, and the engine then trains here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from archlab.errors import InputError
from archlab.networks.sources import IN_MAIN, Source, resolve, source_of_object
from archlab.records import TrainingConfig, Value
from archlab.records.config import NORMS, configured

Trained: TypeAlias = "str | TrainingConfig | nn.Module | Callable[..., nn.Module]"
"""What is trained: a source's name, a configuration that has one, a module, or a class or function that gives one."""


def source_of(network: object, options: Mapping[str, Value] | None = None) -> Source:
    """The source of a network that is named, or given as a module, a class, a function, or a source already.

    Args:
        network: any of those.
        options: what its factory is called with; `bn` as `on`, `off`, `group`, ... stands for the option `norm`. Where
            the factory has no `norm` or `skip`, surgery does what they say (`archlab.networks.surgery`).

    Raises:
        InputError: it is none of those, or an option is not for it.

    >>> source_of(nn.Linear, {"in_features": 2, "out_features": 3}).name
    'torch.nn.modules.linear:Linear'
    """
    chosen = switched(options or {})
    if isinstance(network, str):
        return resolve(network, chosen)
    if isinstance(network, Source):
        if chosen:
            raise InputError(
                f"options ({', '.join(chosen)}) were given with a source that is resolved: resolve it with them"
            )
        return network
    if isinstance(network, nn.Module):
        if others := [name for name in chosen if name not in ("norm", "skip")]:
            raise InputError(
                f"options ({', '.join(others)}) were given with a module, which is built already: they belong to a "
                "source, or to a class or function that builds it"
            )
        name = f"{type(network).__qualname__}()"
        reason = f"{name} is a module, and other processes need a class or function that builds it anew"
        return source_of_object(name, network, chosen, local=reason)
    if callable(network):
        return _factory(network, chosen)
    raise InputError(
        f"the network is of type {type(network).__name__}, expected a source's name (archlab networks lists some), a "
        "torch.nn.Module, or a class or function that gives one"
    )


def config_of(network: object, chosen: Mapping[str, Any]) -> tuple[TrainingConfig, Source | None]:
    """The configuration of a network in any form with some fields replaced, and its source where no name tells it.

    Raises:
        InputError: it is no network, or a setting can't be meant.
    """
    if isinstance(network, str | TrainingConfig):
        return configured(network, chosen), None
    source = source_of(network, chosen.get("options"))
    return configured(source.name, {**chosen, "options": dict(source.options)}), source


def with_switches(network: object, chosen: Mapping[str, Any], *, bn: str | None, skip: str | None) -> dict[str, Any]:
    """The settings of a call, with `bn` and `skip` among the options of the network.

    Raises:
        InputError: one of them is another word than its own, or is given as an option too.
    """
    for name, value, words in (("bn", bn, tuple(NORMS)), ("skip", skip, ("on", "off"))):
        if value is not None and value not in words:
            raise InputError(f"{name} is {value!r}, expected one of {', '.join(words)}")
    wanted = {name: value for name, value in (("bn", bn), ("skip", skip)) if value is not None}
    given = chosen.get("options") or {}
    if "skip" in wanted and "skip" in given:
        raise InputError("skip is given twice, as an option too: leave one of them out")
    if not wanted:
        return dict(chosen)
    kept = network.options if isinstance(network, TrainingConfig) and "options" not in chosen else given
    held = {name: value for name, value in kept.items() if kept is given or name not in ("norm", "skip")}
    return {**chosen, "options": switched({**held, **wanted})}


def switched(options: Mapping[str, Value]) -> dict[str, Value]:
    """The options, with `norm` for a `bn` that is one of `NORMS`: `on`, `off`, `group`, ...

    Raises:
        InputError: both are given.

    >>> switched({"bn": "off", "width": 2})
    {'width': 2, 'norm': 'none'}
    """
    found = dict(options)
    if found.get("bn") in tuple(NORMS):
        if "norm" in found:
            raise InputError("bn and norm are both given, and mean the same option: leave one of them out")
        found["norm"] = NORMS[str(found.pop("bn"))]
    return found


def _factory(factory: Callable[..., object], options: Mapping[str, Value]) -> Source:
    module = getattr(factory, "__module__", None) or type(factory).__module__
    name = getattr(factory, "__qualname__", None) or f"{type(factory).__qualname__}()"
    owner = sys.modules.get(module)
    if _looked_up(owner, name) is not factory:
        reason = f"{name} is no name of a module ({module}), by which other processes could import it"
        return source_of_object(f"{module}:{name}", factory, options, local=reason)
    if module == "__main__":
        return source_of_object(f"{module}:{name}", factory, options, local=IN_MAIN.format(name=name))
    file = getattr(owner, "__file__", None)
    if not _is_importable(module):
        if file and Path(file).suffix == ".py":
            return resolve(f"{file}:{name}", options)
        reason = f"{module} can't be imported by other processes"
        return source_of_object(f"{module}:{name}", factory, options, local=reason)
    return resolve(f"{module}:{name}", options)


def _looked_up(owner: object, name: str) -> object:
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


def _is_importable(module: str) -> bool:
    """Whether an import by that name, in another process, would find the module that this one has."""
    top = module.partition(".")[0]
    loaded = getattr(sys.modules.get(top), "__spec__", None)
    if getattr(sys.modules.get(module), "__spec__", None) is None or loaded is None:
        return False
    # Not by `importlib.util.find_spec`, which answers from `sys.modules` for what is loaded.
    found = (finder.find_spec(top, None) for finder in sys.meta_path if hasattr(finder, "find_spec"))
    return any(spec is not None and spec.origin == loaded.origin for spec in found)
