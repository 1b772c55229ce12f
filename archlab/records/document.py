"""A record that is a JSON document of its own."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Self

from archlab.errors import InputError, cut
from archlab.records.reading import content, decoded, schema_of

SCHEMA_TEXT = re.compile(r'\s*{\s*"schema"\s*:\s*"(?P<schema>[^"\\\\]*)"')
SCHEMA_BYTES = re.compile(SCHEMA_TEXT.pattern.encode())
"""How a document begins that `to_json` wrote."""


class Document:
    """Mixed into a frozen dataclass: JSON with a `schema` name in front, and back.

    Unknown names are left out when reading, so that a newer archlab may add some; a missing or ill-typed one is an
    `InputError` that names it.
    """

    __slots__ = ()
    SCHEMA: ClassVar[str]

    def conflict(self) -> str:
        """What in the record doesn't go together, in words; empty where all does.

        It is asked of what is read from JSON, where a type says how each value looks and not what it refers to.
        """
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists, numbers and strings, `schema` first; NaN and infinities become None."""
        import msgspec

        document: dict[str, Any] = msgspec.json.decode(self.to_json(indent=0))
        return document

    def to_json(self, indent: int = 2) -> str:
        """The document as JSON text; `indent=0` for the compact form."""
        import msgspec

        named = {"schema": self.SCHEMA} | {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]
        text = msgspec.json.encode(named)
        return (msgspec.json.format(text, indent=indent) if indent else text).decode()

    @classmethod
    def from_dict(cls, document: object, origin: str = "the document") -> Self:
        """The record that `to_dict` wrote.

        Raises:
            InputError: it has another schema, or a field is missing or ill-typed.
        """
        import msgspec

        cls._refuse_other(document.get("schema") if isinstance(document, dict) else None, origin)
        try:
            found = msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise InputError(f"{origin} is no {cls.SCHEMA}: {cut(error)}") from error
        return found._agreeing(origin)

    @classmethod
    def from_json(cls, text: str | bytes, origin: str = "the document") -> Self:
        """The record that `to_json` wrote; raises `InputError` as `from_dict` does."""
        head = SCHEMA_BYTES.match(text) if isinstance(text, bytes) else SCHEMA_TEXT.match(text)
        if head is None or head["schema"] not in (cls.SCHEMA, cls.SCHEMA.encode()):  # else it is read once, not twice
            cls._refuse_other(schema_of(text, origin), origin)
        found: Self = decoded(text, cls, origin, cls.SCHEMA)
        return found._agreeing(origin)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The record in a JSON file.

        Raises:
            InputError: the file can't be read, or is not such a record.
        """
        return cls.from_json(content(path), str(path))

    def _agreeing(self, origin: str) -> Self:
        """The record itself, if all in it goes together."""
        if wrong := self.conflict():
            raise InputError(f"{origin} is no {self.SCHEMA}: {cut(wrong)}")
        return self

    @classmethod
    def _refuse_other(cls, schema: object, origin: str) -> None:
        if schema != cls.SCHEMA:
            raise InputError(
                f"{origin} has schema {cut(repr(schema))}, expected {cls.SCHEMA!r}: was it written by another command?"
            )
