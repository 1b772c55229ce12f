"""Conditions on runs as a text says them: `network=lenet and test_accuracy>0.9`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from archlab.errors import InputError, nearest
from archlab.records import TrainingConfig
from archlab.records.entry import MEASURES, Entry, Setup
from archlab.records.settings import settings

Get = Callable[[Entry], Any]
FIELDS: dict[str, Get] = {
    "key": lambda entry: entry.key,
    "status": lambda entry: entry.status,
    "created": lambda entry: entry.created,
    "seed": lambda entry: entry.seed,
    "epochs": lambda entry: entry.done,
    "parameters": lambda entry: entry.parameters,
} | {name: (lambda entry, name=name: getattr(entry, name)) for name in MEASURES}
"""What is known of a run beside its settings."""
NUMBERS = ("seed", "epochs", "parameters", *MEASURES)
AND = re.compile(r"""\s+and(?:\s+|$)(?=(?:[^"]*"[^"]*")*[^"]*$)""", re.IGNORECASE)
"""Between two conditions: not within quotes."""
CONDITION = re.compile(r"""\s*([\w.-]+)\s*(<=|>=|!=|==|=|<|>)\s*("[^"]*"|[^\s"](?:.*\S)?)\s*""")
SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
}
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One field, how it compares, and with what."""

    field: str
    sign: str
    value: str

    def __str__(self) -> str:
        return f"{self.field}{self.sign}{self.value}"


def conditions(text: str) -> list[Condition]:
    """The conditions of a text, which are joined by `and`.

    A value that holds ` and ` stands in double quotes.

    Raises:
        InputError: it is not made of conditions.

    >>> conditions("network=lenet and test_accuracy > 0.9")[1]
    Condition(field='test_accuracy', sign='>', value='0.9')
    """
    found = []
    for part in AND.split(text):
        match = CONDITION.fullmatch(part)
        if match is None:
            raise InputError(
                f"--where {text!r}: {part.strip()!r} is no condition, expected FIELD=VALUE, also with !=, <, <=, > or "
                ">=, and several joined by and: 'network=lenet and test_accuracy>0.9'"
            )
        name, sign, value = match.groups()
        found.append(Condition(name.replace("-", "_"), sign.replace("==", "="), value.strip('"')))
    return found


def chosen(entries: Sequence[Entry], text: str) -> list[Entry]:
    """The runs that all conditions of a text hold for, in their order.

    Where a run has no value in a field, nothing holds of it but `!=`, and `=none`.

    Raises:
        InputError: the text is not made of conditions, no run has such a field, or the values have no order.
    """
    found = list(entries)
    for condition in conditions(text):
        read = field(entries, condition.field, "--where")
        holds = _test(condition)
        known: dict[Any, bool] = {}
        kept = []
        for entry in found:
            value = read(entry)
            if value not in known:
                known[value] = holds(value)
            if known[value]:
                kept.append(entry)
        found = kept
    return found


def field(entries: Iterable[Entry], name: str, option: str) -> Get:
    """What reads a field of a run: a measurement, a setting by either of its names, or an option of its network.

    Raises:
        InputError: no run has one of that name.
    """
    if name in FIELDS:
        return FIELDS[name]
    aliases = {item.name: item.field for item in settings(TrainingConfig).values()}
    name = aliases.get(name, name)
    plain = {item.name for item in fields(TrainingConfig)} - {"options"}
    setups = {entry.setup for entry in entries}
    others = {option for setup in setups for option in (*setup.config.options, *(setup.settings or ()))}
    if name not in plain | others:
        known = {*FIELDS, *plain, *others}
        raise InputError(f"{option}: runs have no field {name!r}: {nearest(name, known)}")
    values = {setup: _of_setup(setup, name, name in plain) for setup in setups}
    return lambda entry: values[entry.setup]


def rank(value: Any) -> tuple[int, float, str]:
    """Sorts values: numbers from the largest down, texts from A to Z, None last."""
    if value is None:
        return 2, 0.0, ""
    return (1, 0.0, str(value)) if isinstance(value, bool | str) else (0, -float(value), "")


def age(text: str) -> timedelta:
    """The time that a text names: 30d, 12h, 2w, 45m.

    Raises:
        InputError: it names none.
    """
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*([mhdw])", text.strip(), re.IGNORECASE)
    if match is None:
        raise InputError(f"--older {text!r} is no time, expected a number with m, h, d or w behind it: 30d, 12h")
    return timedelta(**{UNITS[match[2].lower()]: float(match[1])})


def _of_setup(setup: Setup, name: str, is_setting: bool) -> Any:
    if setup.settings is not None:  # of a watched training only these are known
        known = {"network": setup.config.network, "dataset": setup.config.dataset, "variant": setup.config.variant}
        return (known | setup.settings).get(name)
    return getattr(setup.config, name) if is_setting else setup.config.options.get(name)


def _test(condition: Condition) -> Callable[[Any], bool]:
    """What says of a value whether the condition holds."""
    compare, wanted = SIGNS[condition.sign], condition.value
    number = _number(wanted)
    is_order = condition.sign not in ("=", "!=")
    if condition.field == "created":
        return _test_of_time(condition)
    if number is None and (is_order or (condition.field in NUMBERS and wanted.lower() != "none")):
        raise InputError(f"--where {condition}: expected a number behind {condition.sign}")

    def holds(value: Any) -> bool:
        if value is None:
            return (wanted.lower() == "none") == (condition.sign == "=") and not is_order
        if isinstance(value, bool | str):
            return not is_order and compare(str(value).lower(), wanted.lower())
        return compare(value, number) if number is not None else condition.sign == "!="

    return holds


def _test_of_time(condition: Condition) -> Callable[[Any], bool]:
    wanted = _moment(condition.value)
    if wanted is None:
        raise InputError(f"--where {condition}: expected a date behind {condition.sign}: 2026-11-03, or with a time")
    if condition.sign in ("=", "!="):
        return lambda value: value.startswith(condition.value) == (condition.sign == "=")
    compare = SIGNS[condition.sign]
    return lambda value: (made := _moment(value)) is not None and compare(made, wanted)


def _moment(text: str) -> datetime | None:
    """The time that a text says, of this machine's zone where it names none; None where it says none."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        return None


def started_before(entries: Iterable[Entry], moment: datetime) -> list[Entry]:
    """The runs that were started before a moment."""
    return [entry for entry in entries if (made := _moment(entry.created)) is not None and made < moment]


def _number(text: str) -> float | None:
    """The number that a text says; a share may end with %."""
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
