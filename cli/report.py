"""`archlab report`: networks, runs and comparisons as one HTML file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from archlab.cli.common.completion import names_or_keys
from archlab.cli.common.console import message, prints_aside, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import OF_NETWORKS, refuse_idle
from archlab.cli.common.keys import NEWEST, matching
from archlab.cli.common.options import HubOptions, InputOption, NetworkOptions, both, is_trace, traced
from archlab.cli.common.output import PAGES, writable
from archlab.cli.common.places import DataDirOption, StoreOption, TrustOption
from archlab.errors import ArchlabError, ForwardError, InputError, SourceError, cut

if TYPE_CHECKING:
    from archlab.records import Comparison, NormHealth, Profile, Run, Trace, TrainingConfig, Value
    from archlab.records.experiment import ExperimentResult
    from archlab.store import Store


@grouped
def report(
    context: typer.Context,
    things: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NETWORK|RUN|COMPARISON",
            show_default=False,
            help="A network as for archlab shapes, the key of a run or a comparison (archlab runs list), or a JSON "
            "file that archlab wrote. Default: the newest comparison.",
            autocompletion=names_or_keys,
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", show_default=False, help="Default: report.html; for --all in the store."
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="A page for each comparison of the store, and an index that links them.")
    ] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    png: Annotated[
        Path | None,
        typer.Option(
            "--png",
            metavar="FOLDER",
            show_default=False,
            help="Its charts as PNG (archlab[images]); a page only with -o.",
        ),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FOLDER", show_default=False, help="The same as SVG.")
    ] = None,
    store: StoreOption = None,
    inputs: InputOption = None,
    *,
    given: NetworkOptions,
    hub: HubOptions,
    data_dir: DataDirOption = None,
    trust: TrustOption = False,
) -> None:
    """Write networks, runs and comparisons as HTML.

    One file, which opens without a connection. Several networks stand side by side, several comparisons one after the
    other. --input, --option, --bn and --skip hold for the networks that are named.

    \b
    archlab report                                    the newest comparison
    archlab report densenet resnet -o networks.html
    archlab report run.json trace.json --open
    archlab report --png pictures
    archlab report --all
    """
    _refuse(context, things, everything, path, png, svg)
    from archlab.store import open_store

    home = open_store(store)
    written: Path | None = None
    failures: list[ForwardError] = []
    if everything:
        from archlab.cli.common.store_pages import write_all

        written = write_all(home, path, partial(_compared, home, data_dir, trust))
    else:
        from archlab.reports import save

        options = both(given, hub)
        kept = [_kept(thing, home) for thing in things] if things else [_newest(home)]
        _refuse_idle(context, kept)
        found = [
            one or _traced(thing, home, inputs, options, failures)
            for one, thing in zip(kept, things or [""], strict=True)
        ]
        command = shlex.join(["archlab", *sys.argv[1:]])
        items = [*found, *networks_of(found, home, data_dir, trust)]
        if png or svg:
            _save_images(items, home, png, svg)
        if path or not (png or svg):
            written = save(path or "report.html", items, store=home, command=command)
    if written:
        write(str(written))
    if written and show:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())
    for failure in failures:  # the page shows how far the network came
        raise failure


Shown: TypeAlias = "Trace | Profile | Run | Comparison | ExperimentResult | NormHealth"
NO_NETWORK = "is for a network, and none is named"


def _refuse_idle(context: typer.Context, kept: Sequence[Shown | None]) -> None:
    """Refuse options about networks or about data where none of the kind is shown; None is a network."""
    from archlab.records import Profile, Trace

    if None not in kept:
        refuse_idle(context, OF_NETWORKS, NO_NETWORK)
    if all(one is None or isinstance(one, Trace | Profile) for one in kept):
        refuse_idle(context, ("data_dir",), "is for the data of runs, and none is named")


def _refuse(
    context: typer.Context,
    things: list[str] | None,
    everything: bool,
    path: Path | None,
    png: Path | None,
    svg: Path | None,
) -> None:
    """Refuse what can't go together, has no effect or can't be written, before any work."""
    if everything and things:
        raise InputError(f"--all shows the whole store, but {things[0]!r} was named too: leave one of them out")
    if everything and (png or svg):
        raise InputError("--png and --svg save the charts of one page, --all writes many: leave one of them out")
    if everything or not things:
        refuse_idle(context, OF_NETWORKS, NO_NETWORK)
    if (png or svg) and not path:
        refuse_idle(context, ("show",), "opens a page, and --png and --svg write one only with -o")
    for flag, folder in (("--png", png), ("--svg", svg)):
        if folder is not None and folder.exists() and not folder.is_dir():
            raise InputError(f"{flag} {folder} is a file, expected a folder")
    if path is not None and not everything:
        writable(path, PAGES)
    elif path is not None and path.suffix.lower() not in PAGES:  # its folder is made
        raise InputError(f"-o {path} names the index of the pages, expected FILE.html")


def _save_images(
    items: Sequence[Shown],
    store: Store,
    png: Path | None,
    svg: Path | None,
) -> None:
    from archlab.reports import save_images

    message("drawing the charts in a browser, which takes about a second each")
    if png:
        write("\n".join(map(str, save_images(png, items, "png", store=store))))
    if svg:
        write("\n".join(map(str, save_images(svg, items, "svg", store=store))))


def _kept(thing: str, store: Store) -> Shown | None:
    """The record that a name stands for, of a JSON file, a comparison or a run; None for a network."""
    if is_trace(thing):
        return _record_in(Path(thing))
    key = matching(store, thing) if thing == NEWEST else thing
    for find in (store.comparison, store.run):
        try:
            return find(key)
        except InputError:
            continue
    return None


def _traced(
    thing: str, store: Store, inputs: list[str] | None, options: dict[str, Value], failures: list[ForwardError]
) -> Trace:
    """The trace of a network; one that fails on its input is traced up to there, and the error joins `failures`."""
    try:
        is_graph = thing.lower().endswith(".onnx")
        columns = () if is_graph else ("receptive-field",)  # which rules about layers ask for
        return traced(thing, inputs, options=options, columns=columns)
    except ForwardError as error:
        if error.trace is None:
            raise
        failures.append(error)
        partial: Trace = error.trace
        return partial
    except SourceError as error:
        raise SourceError(f"{thing!r} is no run or comparison in {store.path}, and no network: {error}") from error


def _record_in(path: Path) -> Shown:
    """The record in a JSON file, by its schema.

    Raises:
        InputError: it can't be read, or holds no record that a page can show.
    """
    from archlab.records import Comparison, NormHealth, Profile, Run, Trace
    from archlab.records.experiment import ExperimentResult
    from archlab.records.reading import content, schema_of

    text = content(path)
    try:
        schema = schema_of(text, str(path))
    except InputError as error:
        raise InputError(f"{error}: expected JSON that archlab wrote") from error
    kinds: dict[
        str, type[Trace] | type[Profile] | type[Run] | type[Comparison] | type[ExperimentResult] | type[NormHealth]
    ] = {kind.SCHEMA: kind for kind in (Trace, Profile, Run, Comparison, ExperimentResult, NormHealth)}
    if schema is None:
        raise InputError(f"{path} is no JSON that archlab wrote: expected an object with a schema")
    if schema not in kinds:
        raise InputError(f"{path} has schema {cut(repr(schema))}: expected {', '.join(kinds)}")
    return kinds[schema].from_json(text, str(path))


def _newest(store: Store) -> Comparison:
    comparisons = store.comparisons()
    if not comparisons:
        raise InputError(
            f"{store.path} holds no comparison: name a network, a run or a JSON file, or make one with "
            "`archlab compare --bn off`"
        )
    return comparisons[-1]


def _compared(store: Store, data_dir: Path | None, trust: bool, comparison: Comparison) -> list[Trace]:
    """The networks that a comparison's runs trained."""
    return networks_of([comparison], store, data_dir, trust)


def networks_of(items: Sequence[Shown], store: Store, data_dir: Path | None, trust: bool) -> list[Trace]:
    """The networks that the runs trained, fitted to their data, each once.

    As the store kept them. Those of an older archlab's runs, and of runs in files, are built: archlab's own,
    torchvision's and timm's, or what is trusted; none where torch is not installed.
    """
    from archlab.records import Comparison, Run
    from archlab.records.experiment import ExperimentResult

    configs: dict[str, list[TrainingConfig]] = {}
    parts = [one for item in items if isinstance(item, ExperimentResult) for one in item.comparisons]
    found: list[Trace] = []
    for item in (*items, *parts):
        runs = [item] if isinstance(item, Run) else []
        if isinstance(item, Comparison):
            runs = store.available(item.runs)
        for run in runs:
            kept = store.trace(run)
            if kept is not None:
                _add(kept, found)
            elif run.watched is None:  # else nobody knows how its network is built
                configs.setdefault(run.config.dataset, []).append(run.config)
    for dataset, trained in configs.items():
        try:
            from archlab.comparing import traces
            from archlab.training import Execution
            from archlab.training.preparation import Preparer, distinct
        except ImportError:
            message("torch is not installed: the report shows the runs without their networks")
            break
        preparer = Preparer(Execution(data_dir=data_dir), trust=trust)
        for config in distinct(trained):
            try:
                with prints_aside():
                    for one in traces([config], preparer):
                        _add(one, found)
            except ArchlabError as error:
                message(f"{config.network}, trained on {dataset}, is left out of the report: {error}")
    return found


def _add(trace: Trace, found: list[Trace]) -> None:
    """Add a network, if none with the same layers is there."""
    if not any(trace.layers == other.layers for other in found):
        found.append(trace)
