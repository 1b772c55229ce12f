"""`archlab report --all`: a page for each comparison of a store, pages of its other runs, and an index that links them.

A process makes one page at a time, of the runs that it shows, so that the memory doesn't grow with the store.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from archlab import files
from archlab.circumstances import cores
from archlab.cli.common.console import message, progress
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import Comparison, Run, Trace
    from archlab.records.entry import Entry
    from archlab.reports.index import Card
    from archlab.store import Store

RUNS_PER_PAGE = 500
PAGES_PER_PROCESS = 8
"""A process takes as long to start as a few pages do."""
MOST_PROCESSES = 4
"""Each takes 180 MB."""


def write_all(store: Store, path: Path | None, networks: Callable[[Comparison], Sequence[Trace]]) -> Path:
    """The path of the index, after every page was written that is not there yet, or older than what it shows.

    Args:
        store: whose runs and comparisons are shown.
        path: of the index; None for the store's own.
        networks: gives those that a comparison's runs trained; other processes get it too.

    Raises:
        InputError: the store is empty.
        StoreError: a page can't be written.
    """
    from archlab.reports import write
    from archlab.reports.index import index_page

    target = path or store.report_path("index")
    listing, comparisons, problems = store.scan()
    comparisons = comparisons[::-1]
    if not comparisons and not listing.entries:
        raise InputError(f"{store.path} holds no run yet: `archlab compare --bn off` makes some")
    for problem in (*listing.problems, *problems):
        message(f"warning: {problem.error}")
    files.make_folder(target.parent)
    claimed = {key for comparison in comparisons for key in comparison.runs}
    loose = [entry for entry in listing.entries if entry.key not in claimed]
    cards: list[Card] = []
    jobs = _jobs(comparisons, _paged(loose), len(loose))
    pages = _Pages(store, target, networks)
    with progress() as bars:
        task = bars.add_task("pages", total=len(jobs), note="")
        for made in _each(pages, jobs):
            cards += made
            bars.update(task, advance=1, note=f"of {len(jobs)}")
    _remove_others(target, len(jobs) - len(comparisons))
    title = f"Reports of {store.path.resolve().name}"
    return write(target, index_page(cards, len(comparisons), len(loose), title))


@dataclass(frozen=True)
class _Loose:
    """A page of runs that are in no comparison."""

    number: int
    entries: Sequence[Entry]
    about: str


def _jobs(comparisons: Sequence[Comparison], pages: Sequence[Sequence[Entry]], count: int) -> list[Comparison | _Loose]:
    jobs: list[Comparison | _Loose] = [*comparisons]
    first = 1
    for number, entries in enumerate(pages, start=1):
        about = "runs in no comparison"
        if len(pages) > 1:
            about = f"runs {first:,d} to {first + len(entries) - 1:,d} of {count:,d} in no comparison"
        jobs.append(_Loose(number, entries, about))
        first += len(entries)
    return jobs


@dataclass(frozen=True)
class _Pages:
    """Writes a page, in whichever process, and gives its cards for the index."""

    store: Store
    target: Path
    networks: Callable[[Comparison], Sequence[Trace]]

    def __call__(self, job: Comparison | _Loose) -> list[Card]:
        return self._loose(job) if isinstance(job, _Loose) else self._comparison(job)

    def _comparison(self, comparison: Comparison) -> list[Card]:
        from archlab.reports import save
        from archlab.reports.index import comparison_card

        single, store = self.target.with_name(f"{comparison.key}.html"), self.store
        if not single.exists() or single.stat().st_mtime < store.comparison_written(comparison.key):
            save(single, [comparison, *self.networks(comparison)], store=store, command=comparison.command)
        return [comparison_card(comparison, quote(single.name), store.available(comparison.runs))]

    def _loose(self, job: _Loose) -> list[Card]:
        from archlab.reports.index import loose_cards

        others = _loose_path(self.target, job.number)
        runs = self.store.available(entry.key for entry in job.entries)
        _save_loose(others, runs, job.entries, self.store, job.about.capitalize())
        return loose_cards(runs, quote(others.name), f"Page of {job.about}.")


def _each(pages: _Pages, jobs: Sequence[Comparison | _Loose]) -> Iterator[list[Card]]:
    """The cards of all pages, in their order; many pages are written by several processes."""
    processes = min(cores(), MOST_PROCESSES, len(jobs) // PAGES_PER_PROCESS)
    if processes < 2:
        yield from map(pages, jobs)
        return
    # New interpreters and no copies of this one, which may have threads; Ctrl-C is this process's to answer.
    context = multiprocessing.get_context("spawn")
    ignored = signal.SIGINT, signal.SIG_IGN
    with ProcessPoolExecutor(processes, context, initializer=signal.signal, initargs=ignored) as pool:
        try:
            yield from pool.map(pages, jobs)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


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
    """Write the page on some runs."""
    from archlab.reports import page

    shown = [[entry.setup.text, *(cell for cell in entry if cell is not entry.setup)] for entry in entries]
    save_once(path, [title, shown], lambda: page(runs, store=store, title=title))


def save_once(path: Path, shown: object, make: Callable[[], str]) -> None:
    """Write a page, unless it is there and of the same: its last line says of what, and of which archlab.

    Args:
        path: where.
        shown: what decides what the page shows, as JSON can hold it.
        make: gives its HTML.

    Raises:
        StoreError: it can't be written.
    """
    from archlab.circumstances import digest, newest

    mark = f"<!-- shows {digest(newest(), shown)} -->\n"
    if not _ends_with(path, mark):
        files.save(path, f"{make()}\n{mark}")


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

    number = pages + 1
    while (path := _loose_path(target, number)).exists():
        with files.writing(path):
            path.unlink()
        number += 1
