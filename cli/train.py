"""`archlab train`: one run."""

from __future__ import annotations

from typing import Annotated

import typer

from archlab.cli.common.console import emit, message, output, prints_aside
from archlab.cli.common.curves import show_course
from archlab.cli.common.options import (
    BnOption,
    FileOption,
    FormatOption,
    JsonOption,
    OptionOption,
    SkipOption,
    network_options,
)
from archlab.cli.common.training import (
    DataDirOption,
    DatasetOption,
    DeviceOption,
    DownloadOption,
    EpochsOption,
    LandscapeOption,
    PreciseBatchesOption,
    ProbeEveryOption,
    RecordEveryOption,
    SizeOption,
    StoreOption,
    TestSamplesOption,
    TrainSamplesOption,
    announce,
    watching,
)


def train(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", show_default=False, help="A built-in name or another source, as for archlab shapes."
        ),
    ],
    options: OptionOption = None,
    bn: BnOption = None,
    skip: SkipOption = None,
    learning_rate: Annotated[float, typer.Option("--lr", metavar="X", help="Adam's learning rate.")] = 0.001,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", min=1, help="Images a step.")] = 256,
    epochs: EpochsOption = 5,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="First weights and order of the data.")] = 0,
    dataset: DatasetOption = "digits",
    data_dir: DataDirOption = None,
    download: DownloadOption = False,
    size: SizeOption = None,
    train_samples: TrainSamplesOption = None,
    test_samples: TestSamplesOption = None,
    record_every: RecordEveryOption = 1,
    precise_batches: PreciseBatchesOption = 50,
    probe_every: ProbeEveryOption = 0,
    landscape: LandscapeOption = 0,
    device: DeviceOption = None,
    store: StoreOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
    path: FileOption = None,
) -> None:
    """Train a network once, and keep the run.

    The table holds loss and accuracy of every epoch; the store keeps them, and what each step gave.

    \b
    archlab train lenet
    archlab train resnet --dataset fashion-mnist --train-samples 2000
    archlab train lenet --bn off --lr 0.01 --seed 3 --json
    archlab train lenet --probe-every 5 --landscape 21
    """
    target = output(form, as_json, path)
    chosen = network_options(options, bn, skip)
    from archlab import training
    from archlab.networks import resolve
    from archlab.records import TrainingConfig
    from archlab.store import open_store
    from archlab.tables.runs import run_table

    with prints_aside():
        source = resolve(network, chosen)
    config = TrainingConfig(
        network=network,
        options=dict(source.options),
        dataset=dataset,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        size=size,
        train_samples=train_samples,
        test_samples=test_samples,
        record_every=record_every,
        precise_batches=precise_batches,
        probe_every=probe_every,
        landscape=landscape,
    )
    home = open_store(store)
    announce([config], 1, device, data_dir, download)
    with watching(1) as watch:
        run = training.train(config, store=home, device=device, data_dir=data_dir, download=download, progress=watch)
    emit(target, lambda: run_table(run), run.to_json)
    show_course(run, home, target)
    message(f"kept in {home.path} as {run.key}")
