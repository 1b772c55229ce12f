"""`archlab report --all`: a page for each comparison of a store, pages of its other runs, and an index that links them.

One page is made at a time, of the runs that it shows, so that the memory doesn't grow with the store.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from archlab.cli.common.console import message, progress
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import Comparison, Run, Trace
    from archlab.records.entry import Entry
    from archlab.reports.index import Card
    from archlab.store import Store

RUNS_PER_PAGE = 500


def write_all(store: Store, path: Path | None, networks: Callable[[Comparison], Sequence[Trace]]) -> Path:
    """The path of the index, after every page was written that is not there yet, or older than what it shows.

    Args:
        store: whose runs and comparisons are shown.
        path: of the index; None for the store's own.
        networks: gives those that a comparison's runs trained.

    Raises:
        InputError: the store is empty.
        StoreError: a page can't be written.
    """
    from archlab import files
    from archlab.reports import write
    from archlab.reports.index import index_page

    target = path or store.report_path("index")
    listing = store.listing()
    comparisons, problems = store.scan_comparisons()
    comparisons = comparisons[::-1]
    if not comparisons and not listing.entries:
        raise InputError(f"{store.path} holds no run yet: `archlab compare --bn off` makes some")
    for problem in (*listing.problems, *problems):
        message(f"warning: {problem.error}")
    files.make_folder(target.parent)
    claimed = {key for comparison in comparisons for key in comparison.runs}
    loose = [entry for entry in listing.entries if entry.key not in claimed]
    pages = _paged(loose)
    cards: list[Card] = []
    total = len(comparisons) + len(pages)
    with progress() as bars:
        task = bars.add_task("pages", total=total, note="")
        for made in _pages(store, target, comparisons, pages, networks):
            cards += made
            bars.update(task, advance=1, note=f"of {total}")
    _remove_others(target, len(pages))
    title = f"Reports of {store.path.resolve().name}"
    return write(target, index_page(cards, len(comparisons), len(loose), title))


def _pages(
    store: Store,
    target: Path,
    comparisons: Sequence[Comparison],
    pages: Sequence[Sequence[Entry]],
    networks: Callable[[Comparison], Sequence[Trace]],
) -> Iterator[list[Card]]:
    """Write the pages, and give of each its cards."""
    from archlab.reports import save
    from archlab.reports.index import comparison_card, loose_cards

    for comparison in comparisons:
        single = target.with_name(f"{comparison.key}.html")
        if not single.exists() or single.stat().st_mtime < store.comparison_written(comparison.key):
            save(single, [comparison, *networks(comparison)], store=store, command=comparison.command)
        yield [comparison_card(comparison, quote(single.name), store.available(comparison.runs))]
    count = sum(map(len, pages))
    first = 1
    for number, entries in enumerate(pages, start=1):
        others = _loose_path(target, number)
        about = "runs in no comparison"
        if len(pages) > 1:
            about = f"runs {first:,d} to {first + len(entries) - 1:,d} of {count:,d} in no comparison"
        runs = store.available(entry.key for entry in entries)
        _save_loose(others, runs, entries, store, about.capitalize())
        yield loose_cards(runs, quote(others.name), f"Page of {about}.")
        first += len(entries)


def _paged(entries: Sequence[Entry]) -> list[list[Entry]]:
    """The runs by the page: those of one network and data set one after the other, the oldest first."""
    together: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        together.setdefault((entry.config.network, entry.config.dataset), []).append(entry)
    every = [entry for found in together.values() for entry in found]
    return [every[start : start + RUNS_PER_PAGE] for start in range(0, len(every), RUNS_PER_PAGE)]


def _loose_path(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}-runs{'' if number == 1 else f'-{number}'}.html")


def _save_loose(path: Path, runs: Sequence[Run], entries: Sequence[Entry], store: Store, title: str) -> None:
    """Write the page on some runs, unless it is there and of the same runs: its last line says of which."""
    from archlab import __version__
    from archlab.reports import page, write

    shown = [
        __version__,
        title,
        *([entry.setup.text, *(cell for cell in entry if cell is not entry.setup)] for entry in entries),
    ]
    mark = f"<!-- runs {hashlib.sha256(repr(shown).encode()).hexdigest()} -->\n"
    if not _ends_with(path, mark):
        write(path, f"{page(runs, store=store, title=title)}\n{mark}")


def _ends_with(path: Path, mark: str) -> bool:
    """Whether a file is there and ends so."""
    try:
        with path.open("rb") as file:
            file.seek(-len(mark), os.SEEK_END)
            return file.read() == mark.encode()
    except OSError:
        return False


def _remove_others(target: Path, pages: int) -> None:
    """Remove pages of runs that are not needed any more: there were more runs, or they are compared now."""
    from archlab import files

    number = pages + 1
    while (path := _loose_path(target, number)).exists():
        with files.writing(path):
            path.unlink()
        number += 1
