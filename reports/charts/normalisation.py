"""Charts of BatchNorm over training, one panel for all recorded runs of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from archlab.analysis import curves
from archlab.records import NormRecording, Run
from archlab.reports.chart import Chart, Color, Control, Panel, Position, Scale, Slice, Switch, series_color
from archlab.reports.text import label

VALUES = 1_400_000
"""Values of recordings that one page embeds at most: about 3.7 MB."""
STEPS = 240
"""Steps of a recording that are drawn at most."""
QUANTITIES = {
    "running_mean": "running mean",
    "running_var": "running variance",
    "batch_mean": "batch mean",
    "batch_var": "batch variance",
    "gamma": "gamma (scale)",
    "beta": "beta (shift)",
}


def normalisation_panel(recordings: Mapping[str, tuple[Run, NormRecording]], name: str, budget: int = VALUES) -> Panel:
    """Everything that was recorded of the BatchNorm layers, thinned to the budget.

    Args:
        recordings: what a reader calls the run -> the run and its recording; at least one.
        name: the panel's.
        budget: values that may be embedded.
    """
    views = {title: _View(run, recording, budget // len(recordings)) for title, (run, recording) in recordings.items()}

    def by_layer(part: Callable[[_View, str], Any]) -> Switch:
        return Switch(
            "run",
            {title: Switch("layer", {path: part(view, path) for path in view.layers}) for title, view in views.items()},
        )

    def by_run(part: Callable[[_View], Any]) -> Switch:
        return Switch("run", {title: part(view) for title, view in views.items()})

    matrices = {
        quantity: by_layer(lambda view, path, quantity=quantity: view.layers[path][quantity])  # type: ignore[misc]
        for quantity in QUANTITIES
    }
    steps = by_run(lambda view: view.steps)
    first = next(iter(views.values()))
    state: dict[str, str | int] = {
        "run": next(iter(views)),
        "layer": next(iter(first.layers)),
        "quantity": "running_mean",
        "channel": 0,
        "step": len(first.steps) - 1,
    }
    shared = {"state": state}
    charts = (
        _heat_map(matrices, steps, shared),
        *_channel_charts(matrices, steps, by_layer, by_run, shared),
        _fan(by_layer, steps, shared),
        *_profile_charts(matrices, by_layer, shared),
        _affine(matrices, shared),
        *_lag_charts(by_run, by_layer, shared),
    )
    controls = (
        Control("run", "Run", "select", tuple((title, label(title)) for title in views), state["run"]),
        Control("layer", "Layer", "select", by_run(lambda view: [[path, label(path)] for path in view.layers]), state["layer"]),
        Control("quantity", "Quantity", "select", tuple(QUANTITIES.items()), "running_mean"),
        Control("channel", "Channel", "range", by_layer(lambda view, path: view.channels(path)), 0),
        Control("step", "Step", "range", steps, state["step"]),
    )
    return Panel(name, charts, controls, tuple(note for view in views.values() for note in view.notes))


class _View:
    """A recording as it is drawn: few enough steps and channels."""

    def __init__(self, run: Run, recording: NormRecording, budget: int) -> None:
        import numpy as np

        self.run = run
        self.recording = recording
        quantities = len(QUANTITIES)
        channels = sum(layer["gamma"].shape[1] for layer in recording.layers.values())
        fitting = min(STEPS, budget // max(1, quantities * channels))
        self.points = max(8, fitting)
        self.steps = curves.thinned_steps(np.asarray(recording.steps, dtype=np.int64), self.points)
        self.kept = {path: self._channels(path, budget) for path in recording.layers}
        self.layers = {
            path: {quantity: curves.thinned(layer[quantity][:, self.kept[path]], self.points) for quantity in QUANTITIES}
            for path, layer in recording.layers.items()
        }
        self.notes = self._notes(len(recording.steps))

    def _channels(self, path: str, budget: int) -> Any:
        """All channels of a layer, or an even choice of them where even the fewest steps are too many values."""
        import numpy as np

        layers = self.recording.layers
        everything = sum(layer["gamma"].shape[1] for layer in layers.values()) * len(QUANTITIES) * self.points
        total = layers[path]["gamma"].shape[1]
        share = max(8, int(total * min(1.0, budget / everything)))
        return np.arange(total) if share >= total else np.linspace(0, total - 1, share).astype(int)

    def _notes(self, recorded: int) -> tuple[str, ...]:
        notes = []
        if recorded > len(self.steps):
            notes.append(
                f"{recorded:,} recorded steps are drawn as {len(self.steps)}: each stretch between them keeps every "
                "channel's least and greatest value, in their order."
            )
        total = sum(layer["gamma"].shape[1] for layer in self.recording.layers.values())
        kept = sum(len(channels) for channels in self.kept.values())
        if kept < total:
            notes.append(f"Of {total:,} channels {kept:,} are drawn, evenly chosen in each layer.")
        return tuple(notes)

    def channels(self, path: str) -> list[str]:
        return [f"{channel}" for channel in self.kept[path]]

    def population(self, path: str, quantity: str) -> Any:
        """(epochs, channels), and a single row of NaN where nothing was measured."""
        import numpy as np

        found = self.recording.population.get(path, {}).get(quantity)
        return np.full((1, len(self.kept[path])), np.nan) if found is None else found[:, self.kept[path]]

    @property
    def population_steps(self) -> list[int]:
        epochs = [epoch.step for epoch in self.run.epochs]
        rows = max((len(part["mean"]) for part in self.recording.population.values()), default=1)
        return epochs[:rows] or [0]


def _heat_map(matrices: Mapping[str, Switch], steps: Switch, shared: Mapping[str, Any]) -> Chart:
    return Chart(
        name="heat",
        title="Every channel over training",
        description="One row a channel, one column a recorded step, colour for the chosen quantity; the vertical line is "
        "the step of the slider, the horizontal one the chosen channel.",
        data=[
            {
                "type": "heatmap",
                "x": steps,
                "z": Switch("quantity", dict(matrices)),
                "transpose": True,
                "colorscale": Switch("quantity", {q: Scale("sequential" if q.endswith("var") else "diverging") for q in QUANTITIES}),
                "zmid": Switch("quantity", {q: None if q.endswith("var") else 1 if q == "gamma" else 0 for q in QUANTITIES}),
                "colorbar": {"thickness": 12, "outlinewidth": 0, "tickformat": ".3~g"},
                "hovertemplate": "step %{x}<br>channel %{y}<br>%{z:.4g}<extra></extra>",
            }
        ],
        layout={
            "xaxis": {"title": {"text": "optimiser step"}, "showgrid": False, "zeroline": False},
            "yaxis": {"title": {"text": "channel"}, "showgrid": False, "zeroline": False},
            "shapes": [
                {
                    "type": "line",
                    "x0": Slice(steps, "step"),
                    "x1": Slice(steps, "step"),
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                    "line": {"color": Color("text"), "width": 1.5, "dash": "dot"},
                },
                {
                    "type": "line",
                    "x0": 0,
                    "x1": 1,
                    "xref": "paper",
                    "y0": Position("channel"),
                    "y1": Position("channel"),
                    "line": {"color": Color("text"), "width": 1, "dash": "dot"},
                },
            ],
        },
        height=420,
        wide=True,
        **shared,
    )


def _channel_charts(
    matrices: Mapping[str, Switch], steps: Switch, by_layer: Any, by_run: Any, shared: Mapping[str, Any]
) -> list[Chart]:
    charts = []
    for short, quantity, title in (("mean", "mean", "mean"), ("var", "variance", "variance")):
        population = by_layer(lambda view, path, quantity=quantity: view.population(path, quantity))
        data = [
            {
                "type": "scatter",
                "mode": "lines",
                "name": "batch",
                "x": steps,
                "y": Slice(matrices[f"batch_{short}"], "channel", 1),
                "line": {"color": Color("muted", 0.6), "width": 1},
            },
            {
                "type": "scatter",
                "mode": "lines",
                "name": "running",
                "x": steps,
                "y": Slice(matrices[f"running_{short}"], "channel", 1),
                "line": {"color": series_color(0), "width": 2.5},
            },
            {
                "type": "scatter",
                "mode": "markers",
                "name": "population, at the end of an epoch",
                "x": by_run(lambda view: view.population_steps),
                "y": Slice(population, "channel", 1),
                "marker": {"color": series_color(1), "size": 9, "symbol": "diamond"},
            },
        ]
        charts.append(
            Chart(
                name=f"channel-{short}",
                title=f"One channel's {title}: running, batch, population",
                description=f"The {title} of the chosen channel: of each batch, of the running average that evaluation uses, and "
                "of the population, taken over training batches with the weights frozen.",
                data=data,
                layout={
                    "xaxis": {"title": {"text": "optimiser step"}},
                    "yaxis": {"title": {"text": title}, "tickformat": ".3~g"},
                    "hovermode": "x unified",
                },
                **shared,
            )
        )
    return charts


def _fan(by_layer: Any, steps: Switch, shared: Mapping[str, Any]) -> Chart:
    spreads = {
        quantity: by_layer(lambda view, path, quantity=quantity: curves.spread(view.layers[path][quantity]))
        for quantity in QUANTITIES
    }

    def share(name: str) -> Switch:
        return Switch(
            "quantity",
            {
                quantity: Switch("run", {run: Switch("layer", {path: part[name] for path, part in layers.cases.items()}) for run, layers in spreads[quantity].cases.items()})
                for quantity in QUANTITIES
            },
        )

    traces: list[dict[str, Any]] = []
    for low, high, alpha, name in (
        ("p0", "p100", 0.12, "all channels"),
        ("p5", "p95", 0.2, "5 % to 95 %"),
        ("p25", "p75", 0.32, "middle half"),
    ):
        edge = {"type": "scatter", "mode": "lines", "x": steps, "line": {"width": 0}, "hoverinfo": "skip", "legendgroup": name}
        traces.append({**edge, "name": f"{name}, lower edge", "y": share(low), "showlegend": False})
        traces.append({**edge, "name": name, "y": share(high), "fill": "tonexty", "fillcolor": series_color(0, alpha)})
    traces.append(
        {"type": "scatter", "mode": "lines", "name": "median", "x": steps, "y": share("p50"), "line": {"color": series_color(0), "width": 2}}
    )
    return Chart(
        name="fan",
        title="Distribution over channels",
        description="How the chosen quantity is spread over the layer's channels at each step: median, middle half, 5 % to "
        "95 %, least to greatest.",
        data=traces,
        layout={
            "xaxis": {"title": {"text": "optimiser step"}},
            "yaxis": {"title": {"text": Switch("quantity", dict(QUANTITIES))}, "tickformat": ".3~g"},
        },
        **shared,
    )


def _profile_charts(matrices: Mapping[str, Switch], by_layer: Any, shared: Mapping[str, Any]) -> list[Chart]:
    charts = []
    channels = by_layer(lambda view, path: [int(channel) for channel in view.kept[path]])
    for short, title in (("mean", "mean"), ("var", "variance")):
        charts.append(
            Chart(
                name=f"profile-{short}",
                title=f"All channels at the slider's step: {title}",
                description=f"Running and batch {title} of every channel of the layer at the step that the slider shows.",
                data=[
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": f"batch {title}",
                        "x": channels,
                        "y": Slice(matrices[f"batch_{short}"], "step"),
                        "marker": {"color": Color("muted", 0.8), "size": 7, "symbol": "circle-open"},
                    },
                    {
                        "type": "scatter",
                        "mode": "markers",
                        "name": f"running {title}",
                        "x": channels,
                        "y": Slice(matrices[f"running_{short}"], "step"),
                        "marker": {"color": series_color(0), "size": 7},
                    },
                ],
                layout={
                    "xaxis": {"title": {"text": "channel"}},
                    "yaxis": {"title": {"text": title}, "tickformat": ".3~g"},
                },
                **shared,
            )
        )
    return charts


def _affine(matrices: Mapping[str, Switch], shared: Mapping[str, Any]) -> Chart:
    return Chart(
        name="affine",
        title="Gamma and beta at the slider's step",
        description="Each point is a channel of the layer: its scale gamma across, its shift beta upwards. Points near "
        "gamma 0 pass on a constant.",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": "channels",
                "x": Slice(matrices["gamma"], "step"),
                "y": Slice(matrices["beta"], "step"),
                "marker": {"color": series_color(2, 0.75), "size": 8},
                "hovertemplate": "gamma %{x:.4g}<br>beta %{y:.4g}<extra>channel %{pointNumber}</extra>",
            }
        ],
        layout={
            "xaxis": {"title": {"text": "gamma"}, "tickformat": ".3~g"},
            "yaxis": {"title": {"text": "beta"}, "tickformat": ".3~g"},
        },
        **shared,
    )


def _lag_charts(by_run: Any, by_layer: Any, shared: Mapping[str, Any]) -> list[Chart]:
    """Running against population statistics, of all layers together and of the chosen one."""
    charts = []
    definitions = (
        ("mean", "How far the running mean lags", "standard deviations", "|running mean − population mean| / population standard deviation"),
        ("variance", "How far the running variance lags", "|log ratio|", "|log(running variance / population variance)|"),
    )
    for quantity, title, unit, formula in definitions:
        data = by_run(lambda view, quantity=quantity: _lag_traces(view, quantity))
        charts.append(
            Chart(
                name=f"lag-{quantity}",
                title=title,
                description=f"{formula}, averaged over the channels of a layer, at the end of each epoch: one thin line a "
                "layer, the thick one is their mean. Zero means that evaluation uses the right statistics.",
                data=data,
                layout={
                    "xaxis": {"title": {"text": "optimiser step"}},
                    "yaxis": {"title": {"text": unit}, "rangemode": "tozero", "tickformat": ".3~g"},
                },
                **shared,
            )
        )
    return charts


def _lag_traces(view: _View, quantity: str) -> list[dict[str, Any]]:
    import numpy as np

    population = view.recording.population
    recorded = {step: row for row, step in enumerate(view.recording.steps)}
    ends = [(row, recorded[step]) for row, step in enumerate(view.population_steps) if step in recorded]
    if not population or not ends:
        return []
    epochs, rows = (np.array(column) for column in zip(*ends, strict=True))
    steps = np.array([view.population_steps[row] for row in epochs])
    lags = {}
    for path, part in population.items():
        layer, mean, variance = view.recording.layers[path], part["mean"][epochs], part["variance"][epochs]
        if quantity == "mean":
            lags[path] = curves.mean_lag(layer["running_mean"][rows], mean, variance)
        else:
            lags[path] = curves.variance_lag(layer["running_var"][rows], variance)
    style = {"type": "scatter", "mode": "lines+markers", "x": steps}
    single = [
        {
            **style,
            "name": label(path),
            "y": lag,
            "showlegend": False,
            "line": {"color": series_color(0, 0.35), "width": 1},
            "marker": {"size": 4},
        }
        for path, lag in lags.items()
    ]
    average = {
        **style,
        "name": "mean of all layers",
        "y": np.mean(list(lags.values()), axis=0),
        "line": {"color": series_color(1), "width": 3},
    }
    return [*single, average]
