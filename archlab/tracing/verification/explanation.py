"""Holds a trace against torchinfo, row by row, and explains every difference by arithmetic, or lists it as unexplained.

torchinfo counts what a module's parameters would take if each were multiplied once per sample (for convolutions,
once per output position). So it counts biases and the scales of normalisations, leaves functional operations out, and
knows no transposed convolution, no look-up and no position of a linear layer beyond the sample. An explanation is
written only where these sums make up the difference to the last multiply-accumulate, and where archlab's own value is
what the layer's parameters and shapes give by an independent formula.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archlab.errors import ArchlabError
from archlab.networks.members import named_modules, named_parameters, parameters
from archlab.records import Discrepancy, Layer, Shape, Trace, Value, Verification
from archlab.tracing.inputs import Arguments, shape_text, with_values, without_values
from archlab.tracing.isolation import isolated
from archlab.tracing.measurement import Measurement, prepare
from archlab.tracing.verification.torchinfo import Summary, SummaryRow, mult_adds, summarise

if TYPE_CHECKING:
    from archlab.networks import Source

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMALISATIONS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)


def verify(
    network: str | Source | nn.Module, inputs: object = None, *, batch: int | None = None, **options: Value
) -> Verification:
    """The comparison of a network's trace with torchinfo's summary: shapes, parameters, MACs of every row, and totals.

    A network that was given is left as it was found. Arguments and errors are those of `archlab.tracing.trace`.

    Raises:
        ArchlabError: torchinfo can't run the network.

    >>> verify("lenet").unexplained
    ()
    """
    measurement = prepare(network, inputs, batch, options)
    trace = measurement.trace()
    summary = _summary(measurement.network, measurement.given)
    return Reconciliation(measurement, trace, summary).verification()


def _summary(network: nn.Module, given: Arguments) -> Summary:
    try:
        with isolated(network), torch.no_grad():
            return summarise(network, without_values(given))
    except ArchlabError:  # it asks for values
        with isolated(network, device="cpu", values=True), torch.no_grad():
            return summarise(network, with_values(given))


class Reconciliation:
    """A trace and torchinfo's summary of the same network, difference by difference."""

    def __init__(self, measurement: Measurement, trace: Trace, summary: Summary) -> None:
        self.network = measurement.network
        self.trace = trace
        self.summary = summary
        self.paths = {id(module): path for path, module in named_modules(self.network)}
        self.rows = {(layer.path, layer.call): place for place, layer in enumerate(trace.layers) if not layer.operation}
        self.compared = 0
        self.discrepancies: list[Discrepancy] = []

    def verification(self) -> Verification:
        """Everything that differs."""
        for row in self.summary.rows:
            path = self.paths[id(row.module)]
            place = self.rows.get((path, row.call))
            if place is not None:
                self._row(self.trace.layers[place], place, row)
            elif path:
                kind = type(row.module).__name__
                self.discrepancies.append(Discrepancy(path, kind, "output shape", "no row", shape_text(row.outputs)))
        self._totals()
        operations = [layer for layer in self.trace.layers if layer.operation]
        notes = (
            f"{len(operations)} rows of functional operations are archlab's alone: torchinfo sees modules.",
            *self.trace.notes,
        )
        return Verification(
            network=self.trace.network,
            witness=f"torchinfo {self.summary.version}",
            compared=self.compared,
            discrepancies=tuple(self.discrepancies),
            notes=notes if operations else self.trace.notes,
            inputs=self.trace.inputs,
        )

    def _row(self, layer: Layer, place: int, row: SummaryRow) -> None:
        self._shape(layer, "input shape", layer.input_shapes, row.inputs)
        self._shape(layer, "output shape", layer.output_shapes, row.outputs)
        self.compared += 1
        if row.parameters != layer.parameters:
            explanation = self._parameters(place, layer, row)
            self._differs(layer, "parameters", layer.parameters, row.parameters, explanation)
        if not row.is_leaf:
            return
        self.compared += 1
        if row.macs != layer.macs:
            self._differs(layer, "macs", layer.macs, row.macs, self._macs(place, layer, row))

    def _shape(self, layer: Layer, quantity: Any, ours: tuple[Shape, ...], theirs: Shape) -> None:
        if not theirs and (not ours or quantity == "input shape"):
            return  # keyword arguments and None have no size there
        self.compared += 1
        if theirs not in ours:
            explanation = "torchinfo doesn't look into this kind of object" if not theirs else ""
            self._differs(layer, quantity, ", ".join(map(shape_text, ours)), shape_text(theirs), explanation)

    def _differs(self, layer: Layer | None, quantity: Any, ours: object, theirs: object, explanation: str = "") -> None:
        """Files a difference; without a layer it is one of the totals."""
        path, kind = (layer.path, layer.kind) if layer is not None else ("", "")
        self.discrepancies.append(Discrepancy(path, kind, quantity, str(ours), str(theirs), explanation))

    def _parameters(self, place: int, layer: Layer, row: SummaryRow) -> str:
        """Why archlab has fewer parameters in a row: it has counted them before."""
        if layer.call > 1:
            return f"archlab counts parameters in a module's first call; this is call {layer.call}"
        around = self._around(place)
        counted = {
            id(parameter)
            for index, earlier in enumerate(self.trace.layers[:place])
            if index not in around and not earlier.operation and earlier.call
            for parameter in self._held(earlier.path)
        }
        repeated = sum(parameter.numel() for parameter in parameters(row.module) if id(parameter) in counted)
        if not repeated or row.parameters - layer.parameters != repeated:
            return ""
        return f"{repeated:,} of them are shared, and archlab counts them in the first row that uses them"

    def _around(self, place: int) -> set[int]:
        """The places of the rows that a row is inside of."""
        depth = self.trace.layers[place].depth
        found = set()
        for index in range(place - 1, -1, -1):
            if self.trace.layers[index].depth < depth:
                depth = self.trace.layers[index].depth
                found.add(index)
        return found

    def _held(self, path: str) -> list[nn.Parameter]:
        try:
            return list(self.network.get_submodule(path).parameters(recurse=False))
        except AttributeError:
            return []

    def _inside(self, place: int) -> list[Layer]:
        """The rows below one."""
        found = []
        for layer in self.trace.layers[place + 1 :]:
            if layer.depth <= self.trace.layers[place].depth:
                break
            found.append(layer)
        return found

    def _macs(self, place: int, layer: Layer, row: SummaryRow) -> str:
        """The sums that make up the difference in a leaf layer; empty if they don't."""
        module = row.module
        counted = {
            name: mult_adds(name, parameter.numel(), type(module).__name__, row.outputs)
            for name, parameter in named_parameters(module)
        }
        if sum(counted.values()) != row.macs:
            return ""
        biases = sum(amount for name, amount in counted.items() if "bias" in name)
        weights = row.macs - biases
        parts = [f"{biases:+,} for biases"] if biases else []
        if weights != layer.macs:
            reason = self._reason(place, layer, row, weights)
            if not reason:
                return ""
            parts.append(f"{weights - layer.macs:+,} {reason}")
        return "torchinfo counts " + " and ".join(parts)

    def _reason(self, place: int, layer: Layer, row: SummaryRow, weights: int) -> str:
        """Why the weights' share differs, where archlab's value is what the layer's formula gives."""
        module: Any = row.module
        if isinstance(module, _NORMALISATIONS) and layer.macs == 0:
            return "for the scale of a normalisation, which is elementwise here"
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and layer.macs == 0:
            return "for the table, of which an embedding only looks rows up"
        if isinstance(module, nn.PReLU) and layer.macs == 0:
            return "for the slope of an activation, which is elementwise here"
        weight = getattr(module, "weight", None)
        if isinstance(module, _TRANSPOSED) and isinstance(weight, Tensor):
            positions = prod((row.inputs[0], *row.inputs[2:]))
            if layer.macs == weight.numel() * positions:
                return "for output positions: a transposed convolution multiplies at its input positions"
        if isinstance(module, nn.Linear) and isinstance(weight, Tensor):
            positions = prod(row.outputs[:-1])
            if layer.macs == weight.numel() * positions:
                return f"since it multiplies once per sample, and the layer does so at {positions:,} positions in all"
        operations = [inner for inner in self._inside(place) if inner.operation]
        if operations and layer.macs == sum(inner.macs for inner in operations):
            return "since it doesn't see the operations inside: " + ", ".join(
                f"{inner.kind} {inner.macs:,}" for inner in operations if inner.macs
            )
        return ""

    def _totals(self) -> None:
        """Compares the totals; the explanations are the rows' own sums."""
        self.compared += 2
        totals, summary = self.trace.totals, self.summary
        if totals.parameters != summary.parameters:
            self._differs(None, "parameters", totals.parameters, summary.parameters, self._total_parameters())
        if totals.macs != summary.macs:
            self._differs(None, "macs", totals.macs, summary.macs, self._total_macs())

    def _total_parameters(self) -> str:
        firsts = [row.module for row in self.summary.rows if row.call == 1]
        held = [parameter for module in firsts for parameter in module.parameters(recurse=False)]
        unique = {id(parameter): parameter.numel() for parameter in held}
        doubled = sum(parameter.numel() for parameter in held) - sum(unique.values())
        missed = sum(p.numel() for p in parameters(self.network) if id(p) not in unique)
        if self.summary.parameters - self.trace.totals.parameters != doubled - missed:
            return ""
        parts = [f"{doubled:+,} for shared ones that it counts again"] if doubled else []
        return "torchinfo counts " + " and ".join(
            [*parts, *([f"{-missed:+,} for modules that it never sees called"] if missed else [])]
        )

    def _total_macs(self) -> str:
        leaf_rows = [row for row in self.summary.rows if row.is_leaf]
        places = [self.rows.get((self.paths[id(row.module)], row.call)) for row in leaf_rows]
        known = [self.trace.layers[place] for place in places if place is not None]
        inside = {id(inner) for place in places if place is not None for inner in self._inside(place)}
        outside = sum(layer.macs for layer in self.trace.layers if layer.operation and id(layer) not in inside)
        rows = sum(row.macs for row in leaf_rows) - sum(layer.macs for layer in known)
        explained = all(item.explanation for item in self.discrepancies if item.quantity == "macs")
        if not explained or self.summary.macs - self.trace.totals.macs != rows - outside:
            return ""
        parts = [f"{rows:+,} in the layers above"] if rows else []
        return "torchinfo counts " + " and ".join(
            [*parts, *([f"{-outside:+,} for functional operations, which it doesn't see"] if outside else [])]
        )
