"""A paired experiment: variants of a network, trained with the same seeds and data, and held side by side.

`experiment.design` settles what is compared before anything trains, `conduct` trains and condenses it, `compare` does
both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from archlab.comparing.design import Experiment, design
from archlab.errors import InputError
from archlab.records import Comparison, Trace, TrainingConfig, Value

if TYPE_CHECKING:
    from archlab.store import Store
    from archlab.training import Progress

Number = TypeVar("Number", int, float)


def compare(
    network: str = "lenet",
    *,
    bn: Literal["on", "off", "scratch"] | None = None,
    skip: Literal["on", "off"] | None = None,
    vary: Mapping[str, Sequence[Value]] | None = None,
    learning_rates: float | Sequence[float] = 0.001,
    batch_sizes: int | Sequence[int] = 256,
    options: Mapping[str, Value] | None = None,
    seeds: int | Sequence[int] = 6,
    epochs: int = 5,
    dataset: str = "digits",
    size: int | None = None,
    train_samples: int | None = None,
    test_samples: int | None = None,
    record_every: int = 1,
    precise_batches: int = 50,
    probe_every: int = 0,
    landscape: int = 0,
    store: Store | str | Path | None = None,
    workers: int | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Comparison:
    """The comparison of a network as it is with its variants, kept in the store; runs that are there are not repeated.

    What varies is crossed: two values of each of two options make four variants. The first is the baseline.

    Args:
        network: source of the network.
        bn: compare its normalisation with BatchNorm (`on`), none (`off`), or BatchNorm from scratch.
        skip: compare its skip connections with those `on` or `off`.
        vary: name of an option of the network, or one of `SETTINGS` -> the values to compare, the baseline's first.
        learning_rates: Adam's; several are compared.
        batch_sizes: images a step; several are compared.
        options: options of the network that all variants share.
        seeds: how many, from 0, or which.
        epochs: passes over the training data.
        dataset: `digits`, `fashion-mnist`, or a folder of images per class.
        size: height and width that images are resized to; None for what the network was made for.
        train_samples: how many training images to use; None for all.
        test_samples: how many test images to use; None for all.
        record_every: steps between two records of the BatchNorm layers; 0 for none.
        precise_batches: training batches that the precise statistics are taken over.
        probe_every: steps between two looks at how smooth the loss is along its gradient; 0 for none.
        landscape: points a side, an odd number, of the loss landscape around the trained weights; 0 for none.
        store: a store or its folder; None for `$ARCHLAB_STORE`, else `archlab-runs`.
        workers: processes; None for one a core.
        device: where to train; None for the accelerator if there is one.
        data_dir: where Fashion-MNIST lies.
        download: whether data that isn't there may be fetched.
        fresh: train again what the store has.
        progress: called with every event of every run.

    Raises:
        InputError: nothing varies; the network, an option, a setting or the data set is unknown or can't be used.
        KeyboardInterrupt: it was stopped; what is finished is kept, and the same call goes on from there.

    >>> compare("lenet", bn="off").findings[0]  # doctest: +SKIP
    'norm=none has a lower test accuracy than norm=batch: ...'
    """
    rates, batches = _several(learning_rates), _several(batch_sizes)
    several = {"lr": rates, "batch_size": batches}
    base = TrainingConfig(
        network=network,
        options=dict(options or {}),
        dataset=dataset,
        epochs=epochs,
        batch_size=batches[0],
        learning_rate=rates[0],
        size=size,
        train_samples=train_samples,
        test_samples=test_samples,
        record_every=record_every,
        precise_batches=precise_batches,
        probe_every=probe_every,
        landscape=landscape,
    )
    varied = dict(vary or {})
    for name, values in several.items():
        if len(values) > 1:
            if name in varied:
                raise InputError(f"{name} is varied twice: leave it out of vary")
            varied[name] = values
    return conduct(
        design(base, bn=bn, skip=skip, vary=varied, seeds=seeds),
        store=store,
        workers=workers,
        device=device,
        data_dir=data_dir,
        download=download,
        fresh=fresh,
        progress=progress,
    )


def conduct(
    experiment: Experiment,
    *,
    store: Store | str | Path | None = None,
    workers: int | None = None,
    device: str | None = None,
    data_dir: str | Path | None = None,
    download: bool = False,
    fresh: bool = False,
    progress: Callable[[Progress], None] | None = None,
    command: str = "",
) -> Comparison:
    """The comparison that an experiment gives, kept in the store.

    `command` is what to type to have it again, for the report; the other arguments are those of `compare`.

    Raises:
        InputError: the data set, the device or a setting can't be used.
        KeyboardInterrupt: it was stopped; what is finished is kept, and the same call goes on from there.
    """
    from archlab.analysis.comparison import summarise
    from archlab.store import Store, open_store
    from archlab.training import train_all

    home = store if isinstance(store, Store) else open_store(store)
    runs = train_all(
        experiment.configs,
        store=home,
        workers=workers,
        device=device,
        data_dir=data_dir,
        download=download,
        fresh=fresh,
        progress=progress,
    )
    return home.save_comparison(summarise(runs, command=command))


def traces(configs: Iterable[TrainingConfig], *, data_dir: str | Path | None = None) -> list[Trace]:
    """A trace of each different network of some configurations, fitted to its data and on inputs as it is trained.

    Args:
        configs: an experiment's variants, for instance, or the configurations of runs.
        data_dir: where Fashion-MNIST lies.

    Raises:
        InputError: the data can't be had.
        ForwardError: a network does not take the data.
    """
    from archlab.tracing import trace
    from archlab.training import images, session

    found: list[Trace] = []
    read = cache(lambda dataset: images.read(dataset, data_dir))
    different = {
        (config.network, tuple(sorted(config.options.items())), config.dataset, config.size): config
        for config in configs
    }
    for config in different.values():
        source, shape = session.fitted_source(config, read(config.dataset))
        traced = trace(source, [(1, *shape)])
        if not any(traced.layers == other.layers for other in found):
            found.append(traced)
    return found


def _several(values: Number | Sequence[Number]) -> tuple[Number, ...]:
    found = tuple(values) if isinstance(values, Iterable) else (values,)
    if not found:
        raise InputError("no value was given where one or more are expected: learning_rates=0.001, for instance")
    return found
