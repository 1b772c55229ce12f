"""The options of a factory: what its signature says they are, and how a text becomes their value."""

from __future__ import annotations

import ast
import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from archlab.errors import SourceError, nearest
from archlab.records import Value
from archlab.records.display import Shown
from archlab.records.listed import ListedOption

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""

_SWITCHES = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_NOTHING = {"none": None, "null": None}
_WORDS: dict[object, Mapping[str, bool | None]] = {
    bool: _SWITCHES | {"1": True, "0": False},
    types.NoneType: _NOTHING,
    None: _NOTHING,
}
"""Texts, in small letters, that stand for the values of a type."""


@dataclass(frozen=True, slots=True)
class Option(Shown):
    """One argument of a factory."""

    name: str
    annotation: object = Any
    """Its type, as annotated; taken from the default where nothing is."""
    default: object = REQUIRED
    help: str = ""
    """What it means, from the Args paragraph of the factory's docstring."""

    @property
    def type(self) -> str:
        """The type in a word or two: `int`, `batch|none`, `list of int`; empty where anything goes."""
        return _describe(self.annotation)

    @property
    def choices(self) -> tuple[str, ...]:
        """The values it can have, where these are few."""
        return tuple(map(str, get_args(self.annotation))) if get_origin(self.annotation) is Literal else ()

    @property
    def listed(self) -> ListedOption:
        """What is shown of it; the default as it is given on the command line."""
        default = None if self.default is REQUIRED else plain_value(self.default)
        return ListedOption(self.name, self.type, default, self.help, self.choices)

    def _drawn(self) -> ListedOption:
        return self.listed

    def convert(self, value: object, owner: str) -> object:
        """A value in the option's own type; a text is read as that type.

        Raises:
            SourceError: it can't be one, naming the option, the owner and what was expected.
        """
        try:
            return _convert(value, self.annotation)
        except ValueError:
            if not isinstance(value, str) and value == self.default:
                return value
            raise SourceError(f"option {self.name} of {owner} takes {_article(self.type)}, given {value!r}") from None


@dataclass(frozen=True, slots=True)
class Signature:
    """All options of a factory."""

    options: Mapping[str, Option]
    is_open: bool = False
    """Whether the factory takes options of any other name too (`**kwargs`)."""

    def arguments(self, given: Mapping[str, object], owner: str) -> dict[str, object]:
        """The given options, each in its own type.

        Raises:
            SourceError: an option is unknown, is missing, or can't be read as its type.
        """
        arguments: dict[str, object] = {}
        for name, value in given.items():
            option = self.options.get(name) or (Option(name) if self.is_open else None)
            if option is None:
                known = nearest(name, self.options) if self.options else "It takes none."
                raise SourceError(f"{owner} has no option {name!r}: {known}")
            arguments[name] = option.convert(value, owner)
        missing = [
            option for option in self.options.values() if option.default is REQUIRED and option.name not in given
        ]
        if missing:
            names = ", ".join(option.name for option in missing)
            raise SourceError(f"{owner} needs a value for {names}: give it as an option, {missing[0].name}=VALUE")
        return arguments


def read_signature(factory: Callable[..., object], presets: Mapping[str, object] | None = None) -> Signature:
    """The options that a factory's signature names; `presets` replace its defaults."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):  # some compiled callables have none
        return Signature({}, is_open=True)
    try:
        hints = get_type_hints(factory.__init__ if inspect.isclass(factory) else factory)
    except Exception:  # an annotation names what isn't imported at run time; do without
        hints = {}
    texts = _argument_texts(inspect.getdoc(factory) or "")
    options = {}
    is_open = False
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind not in (parameter.VAR_POSITIONAL, parameter.POSITIONAL_ONLY):
            default = (presets or {}).get(name, parameter.default)
            annotation = hints.get(name)
            if annotation is None:
                annotation = type(default) if isinstance(default, bool | int | float | str) else Any
            options[name] = Option(name, annotation, default, texts.get(name, ""))
    return Signature(options, is_open)


def plain_value(value: object) -> Value:
    """A value as a run's configuration and a trace keep it: `2-2-2-2` for a tuple, `none` for None."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return "-".join(str(plain_value(item)) for item in value)
    return "none" if value is None else str(value)


def _convert(value: object, annotation: object) -> object:
    """The value as an annotation wants it; ValueError where it can't be."""
    arms = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return _choose(value, arms)
    if origin in (Union, types.UnionType):
        return _first_arm(value, arms)
    if annotation in (bool, int, float, str, None, types.NoneType):
        return _convert_one(value, annotation)
    if origin in (tuple, list, Sequence):
        return _convert_items(value, origin, arms)
    return _literal(value) if isinstance(value, str) else value


def _choose(value: object, choices: tuple[object, ...]) -> object:
    if isinstance(value, bool) and value not in [choice for choice in choices if isinstance(choice, bool)]:
        value = "on" if value else "off"
    for choice in choices:
        if str(choice) == str(value):
            return choice
    raise ValueError


def _first_arm(value: object, arms: tuple[object, ...]) -> object:
    # Any text fits str, few fit int or bool: the narrow types are asked first, so that "12" is an int for int | str.
    order = [types.NoneType, bool, int, float]
    for arm in sorted(arms, key=lambda arm: order.index(arm) if arm in order else 9 + (arm is str)):
        try:
            return _convert(value, arm)
        except ValueError:
            continue
    raise ValueError


def _convert_items(value: object, origin: object, arms: tuple[object, ...]) -> object:
    item = arms[0] if arms else Any
    if isinstance(value, str):
        # 2-2-2-2 or 2,2,2,2: a comma may already divide the values of a comparison.
        value = [part for part in re.split(r"[,\s]+|(?<=\w)-", value.strip("()[] ")) if part]
    elif isinstance(value, int | float):
        value = [value]
    if not isinstance(value, Sequence):
        raise ValueError
    items = [_convert(part, item) for part in value]
    return tuple(items) if origin is tuple else items


def _convert_one(value: object, kind: Any) -> object:
    """A number, text, switch or None, by `msgspec.convert`: 2 is a float too, but True is no int, and 2.5 is none.

    It could read texts as well, but knows neither `off` nor `none`, and takes "3.0" for an int: an option that is
    `int | float` would get another number than was written. So texts are read here, and it checks what comes out. For
    the same reason unions are gone through arm by arm: of `int | str` it would take "12" as a str.
    """
    words = _WORDS.get(kind, {})
    if str(value).lower() in words:
        return words[str(value).lower()]
    if (kind in (int, float) and isinstance(value, str)) or (kind is float and isinstance(value, float)):
        value = kind(value)  # numpy's float64 is a float, which msgspec does not know
    return msgspec.convert(value, kind)


def _literal(text: str) -> object:
    """What a text means where no type is known: a Python literal, on or off, none; else the text."""
    lowered = text.lower()
    for words in (_SWITCHES, _NOTHING):
        if lowered in words:
            return words[lowered]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _describe(annotation: object) -> str:
    arms = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return "|".join(map(str, arms))
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(arm) for arm in arms)
    if origin in (tuple, list, Sequence):
        return f"list of {_describe(arms[0])}" if arms else "list"
    if annotation is Any:
        return ""
    if annotation is types.NoneType:
        return "none"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")


def _article(description: str) -> str:
    if "|" in description:
        *others, last = description.split("|")
        return f"{', '.join(others)} or {last}"
    return f"{'an' if description[:1] in 'aeiou' else 'a'} {description}"


def _argument_texts(docstring: str) -> dict[str, str]:
    """Name -> text of the paragraph that begins with `Args:`."""
    paragraph = re.search(r"^Args:\n((?:[ \t]+\S.*\n?)+)", docstring, re.MULTILINE)
    texts: dict[str, str] = {}
    name = ""
    for line in paragraph[1].splitlines() if paragraph else ():
        start = re.match(r"[ \t]{2,4}(\w+)(?: \([^)]*\))?: *(.*)", line)
        if start and not line.startswith(" " * 5):
            name = start[1]
            texts[name] = start[2]
        elif name:
            texts[name] += " " + line.strip()
    return texts
