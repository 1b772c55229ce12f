"""A row in the making: a module that the file names, or an operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from archlab.records import Window

SUMS = ("macs", "elementwise", "parameters", "buffers")
"""What a module's row has of its children's."""


class Row:
    """A row in the making."""

    __slots__ = (
        *("axes", "buffers", "call", "children", "detail", "elementwise", "given", "gives", "inside", "kind", "kinds"),
        *("macs", "operation", "output_bytes", "parameters", "parent", "path", "place", "takes", "uncounted", "window"),
    )

    def __init__(self, parent: Row | None, path: str, kind: str) -> None:
        self.parent = parent
        self.path = self.given = path
        """The path, and as the file gives it, which may number the calls of one module."""
        self.kind = kind
        self.children: list[Row] = []
        self.inside: list[Row] = []
        """The operators of a layer that is one row."""
        self.operation = False
        self.detail = ""
        self.axes: tuple[str, ...] = ()
        self.window: Window | None = None
        self.macs = self.elementwise = self.parameters = self.buffers = self.output_bytes = 0
        self.uncounted: tuple[str, ...] | None = None
        """Of an operator: its name if it has no formula, nothing if it has; None for a module."""
        self.takes: dict[str, None] = {}
        """Values that come from outside."""
        self.gives: dict[str, None] = {}
        """Values that are used outside."""
        self.kinds: Counter[str] = Counter()
        """How many of its operators there are of each kind, for their names."""
        self.call = 1
        self.place = -1
        if parent is not None:
            parent.children.append(self)

    def above(self) -> Iterable[Row]:
        """The row and those that hold it, from inside to outside."""
        row: Row | None = self
        while row is not None:
            yield row
            row = row.parent

    def below(self) -> Iterator[Row]:
        """The rows that it holds, in order, parents before children."""
        stack = list(reversed(self.children))
        while stack:
            row = stack.pop()
            yield row
            stack.extend(reversed(row.children))

    def sum_up(self) -> None:
        """Takes the sums of the children, which have theirs."""
        if self.children:
            for name in SUMS:
                setattr(self, name, sum(getattr(child, name) for child in self.children))
