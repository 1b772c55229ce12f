"""`archlab bn`: the BatchNorm of a trained network or of a stored run, looked at as a doctor does."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.completion import names_or_keys
from archlab.cli.common.console import emit, message, prints_aside, progress, show, write, write_item, write_line
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_data_options, refuse_idle
from archlab.cli.common.keys import NEWEST, find, matching
from archlab.cli.common.options import NetworkOptions
from archlab.cli.common.output import Format, Output, writable
from archlab.cli.common.places import DataDirOption, DownloadDataOption, StoreOption
from archlab.cli.common.verdicts import LEVEL_ROLES
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import Verdict
    from archlab.records.norm_health import NormHealth
    from archlab.reports.material import Item
    from archlab.store import Store

EXAMINING = (
    *("key", "data_dir", "download", "batch_size", "images", "size"),
    *("normalise", "recalibrate", "fold", "device"),
)
"""Options of an examination, which a stored run has behind it."""
OF_IMAGES = ("data_dir", "download", "batch_size", "images", "size")


@grouped
def bn(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK|RUN",
            show_default=False,
            help="A network's source, as for archlab shapes, with --weights; or a stored run: its key, the start "
            "of it, "
            "or newest.",
            autocompletion=names_or_keys,
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Trained weights: .safetensors, or a checkpoint of torch.save that holds tensors alone. Where "
            "they lie "
            "in it, and what stands before their names, is found out.",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", show_default=False, help="Which weights of the file: ema, model.state_dict, ..."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default=False,
            help="digits, fashion-mnist, mnist, cifar10, cifar100, a folder with a folder of images per class, or "
            "FILE.py:LOADER, which gives batches of (images, labels) or of images. Without it only the weights are "
            "looked at.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    download: DownloadDataOption = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size", "--batch", metavar="N", min=2, show_default=False, help="Of the training. Default: 32."
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option(metavar="N", min=16, help="Images: two thirds for precise statistics, a third to be tested."),
    ] = 1000,
    size: Annotated[
        int | None,
        typer.Option(
            "--size",
            "--input",
            metavar="N",
            min=1,
            show_default=False,
            help="Height and width of the images. Default: what the network was made for.",
        ),
    ] = None,
    normalise: Annotated[
        str,
        typer.Option(metavar="none|data|imagenet", help="How the images were normalised in the training."),
    ] = "none",
    recalibrate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write the weights with precise statistics there."),
    ] = None,
    fold: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", show_default=False, help="Write the weights with BatchNorm folded into convolutions there."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="cpu, cuda, ... Default: an accelerator if any."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="All layers, channels and tensors, not only the worst.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where there is a problem or a warning.")] = False,
    *,
    given: NetworkOptions,
    store: StoreOption = None,
    target: Output,
) -> None:
    """Examine the BatchNorm of a trained network, or of a stored run.

    Answers on the same images with running, precise and batch statistics, and for each layer: running statistics that
    are off, noise of batches, channels that are dead, always 0 or collapsed, variances near eps, and what folding does.
    Nothing in a file is executed, and no file is changed: --recalibrate and --fold write new ones of the same format,
    read them again, and say what they answer.

    \b
    archlab bn torchvision:resnet18 --weights best.pt --dataset photos --batch-size 64
    archlab bn mine.py:build --weights model.safetensors --dataset mine.py:loader
    archlab bn mine.py:build --weights best.pt                     what the weights alone show
    archlab bn resnet20 --weights best.pt --dataset cifar10 --recalibrate better.pt
    archlab bn newest                                              a run of the store
    archlab bn newest -o newest.html                               a page with pictures
    """
    from archlab.store import open_store

    if target.form in (Format.json, Format.html):
        refuse_idle(context, ("full",), f"is for tables, and {target.form} holds everything")
    home = open_store(store)
    run = _run_key(subject, home) if weights is None and dataset is None else None
    if run is not None:
        refuse_idle(context, (*EXAMINING, "options", "bn", "skip"), "is for a network, and a run was named")
        found = _of_run(run, home)
    else:
        if weights is None:
            refuse_idle(context, ("key",), "names weights in a file, and --weights was not given")
        if dataset is None:
            refuse_idle(context, OF_IMAGES, "is for images, and --dataset was not given")
        else:
            refuse_data_options(context, dataset)
        for path, flag in ((recalibrate, "--recalibrate"), (fold, "--fold")):
            if path is not None:
                writable(path, called=flag)
        from archlab.normalisation import examine

        with prints_aside(), progress() as bars:
            task = bars.add_task("building", total=None, note="")
            found = examine(
                subject,
                dataset,
                weights=weights,
                key=key,
                options=given,
                recalibrate=recalibrate,
                fold=fold,
                progress=lambda what, done, total: bars.update(
                    task, description=what, completed=done, total=total, note=f"{done:,}/{total:,} images"
                ),
                batch_size=batch_size,
                images=images,
                size=size,
                normalise=normalise,
                data_dir=data_dir,
                download=download,
                device=device,
            )
    _show(found, full, home, target)
    if strict and found.alarming:
        raise typer.Exit(1)


def _run_key(subject: str, store: Store) -> str | None:
    """The key of the run that is meant; None for a network.

    Raises:
        InputError: a comparison is meant, or several runs begin so.
    """
    from archlab.records import Run

    key = matching(store, subject)
    known = {folder.key for folder in store.run_folders()} | {one.key for one in store.comparisons()}
    if key not in known:
        return None
    one = find(store, key)
    if not isinstance(one, Run):
        raise InputError(f"{key} is a comparison: name one of its runs, {one.runs[0]} for instance (archlab runs list)")
    if subject == NEWEST:
        message(f"the newest run is {key}")
    return key


def _of_run(key: str, store: Store) -> NormHealth:
    from archlab.analysis.run_health import run_health

    return run_health(store.run(key), store.recording(key), store.curves(key))


def _show(found: NormHealth, full: bool, store: Store, target: Output) -> None:
    from archlab.tables.norm_health import health_tables, written_table

    if target.form is Format.html:
        from archlab.reports import page

        items: list[Item] = [found, *([store.run(found.run)] if found.run else [])]
        write(page(items, store=store, command=shlex.join(["archlab", *sys.argv[1:]])), target.path)
        if target.path is not None:  # else the page is what is printed
            _write_verdicts(found, full)
            show([written_table(found.written)] if found.written else [])
            message(f"wrote {target.path}")
        return
    if target != Output():
        emit(target, lambda: health_tables(found, full), found.to_json)
        return
    _write_verdicts(found, full)
    show(health_tables(found, full))


SHOWN = 3
"""Problems and warnings that are written out before the tables; more with --full."""


def _write_verdicts(found: NormHealth, full: bool) -> None:
    """First what matters: the worst verdict, then the others in short."""
    from archlab.tables.norm_health import loaded_sentence
    from archlab.tables.verdicts import verdict_sentence

    alarming = found.alarming
    if found.weights is not None:
        message(loaded_sentence(found.weights))
    for note in found.notes:
        message(note)
    if not alarming:
        write_line("Verdict: nothing wrong was found.", "good")
    said: list[Verdict] = [*alarming, *(verdict for verdict in found.verdicts if verdict.level == "note")]
    shown = said if full else said[: max(SHOWN, sum(verdict.level == "problem" for verdict in said))]
    for verdict in shown:
        write_item(verdict_sentence(verdict, verdict.layer), LEVEL_ROLES[verdict.level])
    if len(shown) < len(said):
        others = [f"{verdict.title} ({verdict.level})" for verdict in said[len(shown) :]]
        write_item(f"And, with --full: {', '.join(others)}.", "dim")
    good = ", ".join(verdict.title for verdict in found.verdicts if verdict.level == "good")
    if good:
        write_item(f"In order: {good}.", "good")
    write("")
