"""Groups of options: a command asks for one by a parameter of its type, and typer sees the group's own options.

    @grouped
    def growth(subject: Subject, *, depth: DepthOption = "1", target: Output) -> None: ...

`archlab growth resnet18 --input 96 --json` then calls it with `subject = Subject("resnet18", inputs=["96"])` and
`target = Output(Format.json)`. What a group consists of is said once, by the function that makes it: each of its
parameters is an option.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, get_origin

import typer

MAKERS: dict[Any, tuple[Sequence[inspect.Parameter], Callable[..., Any]]] = {}
"""A parameter's type -> the options of its group, and what makes the group of their values."""


def register(kind: Any, make: Callable[..., Any], parameters: Sequence[inspect.Parameter] | None = None) -> None:
    """Make a type a group of options: those of `parameters`, else those of the function that makes it."""
    MAKERS[kind] = parameters or list(inspect.signature(make, eval_str=True).parameters.values()), make


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of the groups that its parameters ask for, in their place."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[list[str], Callable[..., Any]]] = {}
    for parameter in signature.parameters.values():
        if get_origin(parameter.annotation) is None and parameter.annotation not in (*MAKERS, typer.Context):
            raise TypeError(f"{command.__name__}: {parameter.name} is neither an option nor a group that is registered")
        if parameter.annotation in MAKERS:
            own, make = MAKERS[parameter.annotation]
            groups[parameter.name] = [option.name for option in own], make
            parameters += own
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def call(**given: Any) -> None:
        made = {name: make(**{option: given.pop(option) for option in own}) for name, (own, make) in groups.items()}
        command(**given, **made)

    # Typer reads a function's signature and annotations, in which the groups' options now stand.
    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    call.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in named}
    return call
