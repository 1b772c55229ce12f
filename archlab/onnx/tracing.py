"""From an ONNX file to a trace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archlab.errors import InputError, UncountedError
from archlab.onnx.inlining import inline
from archlab.onnx.inputs import input_shapes
from archlab.onnx.layers import Layers
from archlab.onnx.reading import Model, is_floating, read
from archlab.onnx.rows import Rows
from archlab.onnx.shapes import infer
from archlab.onnx.weights import Weights
from archlab.records import Trace


def trace(
    source: str,
    inputs: object = None,
    *,
    batch: int | None = None,
    columns: Iterable[str] = (),
    strict: bool = False,
    options: Mapping[str, object] | None = None,
) -> Trace:
    """The measured operators of the graph in a file, below the modules that the file names, with totals.

    Nothing is run, and no torch is needed: shapes are inferred, costs are formulas of them. Files with weights outside
    (external data) are read alone.

    Args:
        source: the path of an ONNX file.
        inputs: shapes for the sizes that the file leaves open, as `archlab.onnx.inputs` reads them; None for 1 where
            only the first sizes of inputs are open.
        batch: the first size of every input.
        columns: measurements beside the usual ones, of which a graph allows none.
        strict: whether an operation without a known cost is an error.
        options: options of a factory, of which a file has none.

    Raises:
        SourceError: the file can't be read as an ONNX model, or `archlab[onnx]` is not installed.
        InputError: a size stays open or is wrong, or something was asked for that needs the network itself.
        ForwardError: the graph doesn't take inputs of the sizes that were chosen.
        UncountedError: `strict`, and the cost of an operation isn't known.
    """
    if options:
        raise InputError(
            f"options ({', '.join(options)}) are for the code that builds a network, and {source} is a graph"
        )
    if wanted := sorted(columns):
        raise InputError(
            f"{source} is a graph of operators, of which {' and '.join(wanted)} can't be measured: name the network "
            "that it was exported from"
        )
    model = read(source)
    inline(model.proto, source)
    shapes, symbols = input_shapes(model, inputs, batch)
    inferred = infer(model, shapes, symbols, chosen=bool(inputs) or batch is not None)
    weights = Weights(model, inferred.graph)
    rows = Rows(inferred, weights)
    finished = Layers(rows, list(shapes))
    layers = finished.layers()
    found = Trace(
        network=source,
        inputs=tuple(shapes.values()),
        layers=layers,
        totals=finished.totals(),
        notes=(*inferred.notes, *_notes(model, weights, rows)),
        input_names=tuple(shapes) if len(shapes) > 1 else (),
        input_dtypes=tuple(item.dtype for item in model.inputs),
    )
    if strict and found.totals.uncounted_operations:
        raise UncountedError(found)
    return found


def _notes(model: Model, weights: Weights, rows: Rows) -> list[str]:
    notes: list[str] = []
    parameters = [name for name in rows.filed if weights.roles[name] == "parameter"]
    if parameters:
        notes.append("ONNX doesn't say which parameters are trained: all count as trainable.")
    quantised = [name for name in parameters if not is_floating(weights.stored[name].dtype)]
    if quantised:
        count = sum(weights.stored[name].size for name in quantised)
        notes.append(f"{count:,} of the parameters are stored as integers.")
    constants = [
        tensor
        for name, uses in weights.uses.items()
        if uses
        and weights.roles[name] == "constant"
        and is_floating((tensor := weights.stored[name]).dtype)
        and tensor.size > 1
    ]
    if constants:
        count = sum(tensor.size for tensor in constants)
        notes.append(
            f"{count:,} stored numbers are taken for constants, and count neither as parameters nor as buffers."
        )
    unused = [tensor for name, tensor in model.weights.items() if not weights.uses[name] and is_floating(tensor.dtype)]
    if unused:
        count = sum(tensor.size for tensor in unused)
        notes.append(f"{count:,} stored numbers are used by no operator, and count nowhere.")
    return notes
