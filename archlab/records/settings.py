"""Settings: each is one declaration, a field of a record with all that is known of it.

    epochs: int = setting(5, "Passes over the data.", least=1, varies=True)

From that one line derive: the validation of a record (`settled`), what a text or an array's number means
(`Setting.parse`), the options of the command line, what `compare` can vary and under which name, the key of a run in
the store, and what a run says of itself. Who adds a setting writes such a line, and the code that obeys it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from numbers import Integral
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from archlab.errors import InputError, nearest

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Setting:
    """What is known of one setting."""

    help: str
    """A sentence or two, for `--help`."""
    metavar: str = "N"
    name: str = ""
    """On the command line and where it varies, if that is not the field's: `lr`."""
    least: float | None = None
    """The smallest value that can be meant."""
    above: float | None = None
    """What every value is larger than."""
    holds: Callable[[Any], bool] | None = None
    """A bound that the two above can't say; `expected` says it."""
    expected: str = ""
    """What may stand there, in words; made from the bounds where it is empty."""
    varies: bool = False
    """Whether a comparison can vary it."""
    decides: bool = True
    """Whether it decides what is trained; if not, it only says what is measured besides, or which run it is."""
    since: str = ""
    """The month that brought it, if runs were kept before: `2026-11`. Where such a setting has its default, a run keeps
    the key that it had without it, and titles don't mention it."""
    phrase: str = ""
    """How a title says it, as a format: `batch {:,d}`; empty for settings that titles leave out."""
    field: str = ""
    """The name of its field; this and what follows is filled in by `settings`."""
    kinds: tuple[type, ...] = ()
    """What a value may be, without the None that stands for unset: `int`, `float`, `bool`, `str`, or classes."""
    optional: bool = False
    """Whether None may stand for it."""
    default: Any = None

    @property
    def kind(self) -> type:
        """The first of `kinds`: what a text is read as."""
        return self.kinds[0]

    @property
    def flag(self) -> str:
        """The option of the command line: `--batch-size`."""
        return f"--{self.name.replace('_', '-')}"

    def parse(self, value: object, called: str = "") -> Any:
        """A value in the setting's own type, from a text, a number of any type, or itself.

        Args:
            value: what is given.
            called: how a message begins; by default with the name that it varies under.

        Raises:
            InputError: it can't be one, or lies outside the bounds.

        >>> from archlab.records import TrainingConfig
        >>> settings(TrainingConfig)["learning_rate"].parse("1e-2")
        0.01
        """
        if value is None and self.optional:
            return None
        found: Any = value
        if self.kind in (int, float):
            found = _number(value, self.kind)
        elif self.kind is str and isinstance(value, os.PathLike):
            found = os.fspath(value)
        elif not isinstance(value, (*self.kinds, str) if Path in self.kinds else self.kinds):
            found = None
        expected = self._noun if found is None else self._bound(found)
        if expected:
            raise InputError(f"{called or f'{self.name} is to be'} {value!r}, expected {self.expected or expected}")
        return found

    def parse_several(self, text: str) -> list[Any]:
        """The values of a text that divides them by commas, as an option of the command line does.

        Raises:
            InputError: one of them can't be meant.
        """
        try:
            return [self.parse(part.strip()) for part in text.split(",")]
        except InputError as error:
            what = {int: "whole numbers", float: "numbers"}.get(self.kind, "values")
            bound = f", each {self.expected or f'{self.least} or more'}" if self.expected or self.least else ""
            above = " above 0" if self.above == 0 or self.least == 1 else bound
            raise InputError(f"{self.flag} is {text!r}, expected {what}{above}: one, or several as A,B") from error

    def is_silent(self, value: object) -> bool:
        """Whether a value says nothing that runs without the setting wouldn't: the default of a later one."""
        return bool(self.since) and bool(value == self.default)

    def _bound(self, value: Any) -> str:
        """The bound that a value of the right type breaks, in words; empty where it breaks none."""
        if self.above is not None and not value > self.above:
            return self._noun
        if self.least is not None and value < self.least:
            return f"{self.least:g} or more"
        return self.expected if self.holds is not None and not self.holds(value) else ""

    @property
    def _noun(self) -> str:
        nouns = {int: "a whole number", float: "a number", str: "a text", bool: "True or False", Path: "a path"}
        noun = nouns[self.kind]
        return noun if self.above is None else f"{noun} above {self.above:g}"


def setting(default: T, help: str, **known: Any) -> T:
    """A field of a record with what is known of it; `known` are further fields of `Setting`."""
    found: T = field(default=default, metadata={"setting": Setting(help, **known)})
    return found


@cache
def settings(record: type) -> dict[str, Setting]:
    """The settings that a record declares, by the name of their field, in order."""
    hints = get_type_hints(record)
    found = {}
    for item in fields(record):
        known: Setting | None = item.metadata.get("setting")
        if known is not None:
            kinds = get_args(hints[item.name]) or (hints[item.name],)
            found[item.name] = replace(
                known,
                field=item.name,
                name=known.name or item.name,
                kinds=tuple(kind for kind in kinds if kind is not NoneType),
                optional=NoneType in kinds,
                default=None if item.default is MISSING else item.default,
            )
    return found


@cache
def varying(record: type) -> dict[str, Setting]:
    """The settings that a comparison can vary, by the name that they vary under."""
    return {item.name: item for item in settings(record).values() if item.varies}


def settled(record: R) -> R:
    """The record with every setting in its own type: a NumPy number or a whole float as the int or float it stands for.

    Raises:
        InputError: one of them has another type, or lies outside its bounds.
    """
    kind: type = type(record)
    changes = {}
    for item in settings(kind).values():
        value = getattr(record, item.field)
        found = item.parse(value, f"{item.field} is")
        if found is not value:
            changes[item.field] = found
    return replace(record, **changes) if changes else record  # type: ignore[type-var]


def divided(given: Mapping[str, Any], *records: type) -> list[dict[str, Any]]:
    """The arguments of a call, one dictionary for each record that has fields of their names.

    A setting can be given by the command's name for it too: `lr` is the field `learning_rate`.

    Raises:
        InputError: no record has such a field, or one is given by both of its names.
    """
    found: list[dict[str, Any]] = [{} for _ in records]
    names = [
        {item.name: item.field for item in settings(record).values()}
        | {item.name: item.name for item in fields(record)}
        for record in records
    ]
    for name, value in given.items():
        place = next((place for place, known in enumerate(names) if name in known), None)
        if place is None:
            raise InputError(f"there is no setting {name!r}: {nearest(name, set().union(*names))}")
        field_name = names[place][name]
        if field_name in found[place]:
            raise InputError(f"{field_name} is given twice, as {name} too: leave one of them out")
        found[place][field_name] = value
    return found


def phrases(record: type, values: Mapping[str, Any]) -> list[str]:
    """The settings among some values in words, for a title: `5 epochs`, `batch 256`."""
    found = [
        item.phrase.format(values[name])
        for name, item in settings(record).items()
        if item.phrase and values.get(name) is not None and not item.is_silent(values[name])
    ]
    return [text.removesuffix("s") if text.startswith("1 ") else text for text in found]


def keyed(values: Mapping[str, Any], known: Iterable[Setting]) -> dict[str, Any]:
    """The values that a run's key is made from: without those of later settings that have their default."""
    silent = {item.field for item in known if item.field in values and item.is_silent(values[item.field])}
    return {name: value for name, value in values.items() if name not in silent}


def _number(value: object, kind: type) -> int | float | None:
    """A finite number of a kind; None where there is none in it."""
    if isinstance(value, bool):
        return None
    if kind is int and isinstance(value, Integral):
        return int(value) if abs(int(value)) < 2**63 else None  # a large one isn't a float
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if kind is int:
        return int(number) if number.is_integer() else None
    return number if math.isfinite(number) else None
