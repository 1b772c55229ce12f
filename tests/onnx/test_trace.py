"""Rows, parameters, loops, branches and functions of graphs that are built by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archlab.errors import ForwardError, InputError, SourceError, UncountedError
from archlab.records import Trace

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'archlab[onnx]'")
import onnx
from onnx import helper
from onnx.numpy_helper import from_array

from tests.onnx.graphs import BOOL, FLOAT, INT64, floats, model, node, tensor, traced

ROOT = Path(__file__).parent.parent.parent
LINEAR = node("MatMul", "x w", "y", name="/layers/layers.0/fc/MatMul")
WEIGHT = {"w": floats(12, 12)}
X = {"x": (2, 12)}


def test_a_flat_graph_has_the_names_of_its_nodes(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "y", name="first"), node("Relu", "y", "z"), node("Relu", "z", "out")]
    found = traced(model(nodes, X, WEIGHT), tmp_path)
    assert [(layer.path, layer.kind, layer.inputs) for layer in found.layers] == [
        ("first", "MatMul", (-1,)),
        ("relu", "Relu", (0,)),
        ("relu_1", "Relu", (1,)),
    ]


def test_names_with_parts_are_modules(tmp_path: Path) -> None:
    found = traced(model([LINEAR, node("Relu", "y", "z", name="/act/Relu")], X, WEIGHT), tmp_path)
    assert [(layer.path, layer.depth) for layer in found.layers] == [
        ("layers", 1),
        ("layers.0", 2),
        ("layers.0.fc", 3),
        ("act", 1),
    ]
    assert [layer.parameters for layer in found.layers] == [144, 144, 144, 0]


def test_a_stored_tensor_counts_once_and_through_its_views(tmp_path: Path) -> None:
    nodes = [
        node("Identity", "w", "v"),
        node("MatMul", "x w", "y"),
        node("Transpose", "v", "t"),
        node("MatMul", "y t", "z"),
    ]
    found = traced(model(nodes, X, WEIGHT), tmp_path)
    assert [(layer.kind, layer.parameters) for layer in found.layers] == [("MatMul", 144), ("MatMul", 0)]
    assert found.totals.parameters == 144


@pytest.mark.parametrize(
    ("name", "parameters"), [("position", 24), ("val_3", 0), ("onnx::Add_17", 0), ("/block/Constant_2_output_0", 0)]
)
def test_a_summand_is_a_parameter_unless_an_exporter_made_its_name_up(
    name: str, parameters: int, tmp_path: Path
) -> None:
    found = traced(model([node("Add", f"x {name}", "y")], X, {name: floats(2, 12)}), tmp_path)
    assert found.totals.parameters == parameters
    assert any("24 stored numbers are taken for constants" in note for note in found.notes) == (not parameters)


@pytest.mark.parametrize(
    ("kind", "shape", "parameters"), [("MatMul", (12, 12), 144), ("Add", (2, 12), 0), ("Add", (), 0)]
)
def test_a_constant_is_a_parameter_where_weights_stand(
    kind: str, shape: tuple[int, ...], parameters: int, tmp_path: Path
) -> None:
    nodes = [node("Constant", "", "w", value=from_array(floats(*shape))), node(kind, "x w", "y")]
    found = traced(model(nodes, X), tmp_path)
    assert found.totals.parameters == parameters
    assert found.totals.macs == (2 * 12 * 12 if parameters else 0)


def test_an_operator_of_a_domain_without_version_is_one_error(tmp_path: Path) -> None:
    made = model([node("Foo", "x", "y", domain="mine")], X)
    del made.opset_import[1:]
    with pytest.raises(SourceError, match=r"has operators of mine and names no version of it, .* opset_import"):
        traced(made, tmp_path)


def test_settings_and_shapes_are_no_parameters(tmp_path: Path) -> None:
    nodes = [node("Clip", "x low high", "y"), node("Reshape", "y shape", "z")]
    weights = {"low": np.float32(0), "high": np.float32(6), "shape": np.array([-1], dtype="i8")}
    found = traced(model(nodes, X, weights), tmp_path)
    assert (found.totals.parameters, found.totals.buffers, found.layers[1].output_shapes) == (0, 0, ((24,),))


def test_quantised_weights_are_parameters_and_their_scales_are_not(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "w s z", "v"), node("MatMul", "x v", "y")]
    weights = {"w": np.ones((12, 7), dtype="i1"), "s": np.float32(0.1), "z": np.int8(0)}
    found = traced(model(nodes, X, weights), tmp_path)
    assert (found.totals.parameters, found.totals.macs) == (84, 2 * 12 * 7)
    assert "84 of the parameters are stored as integers." in found.notes


def loop(times: int | None, keeps_on: bool = True) -> onnx.ModelProto:
    """A matrix product in a loop; the number of its turns is stored, or an input."""
    inner = [node("MatMul", "state w", "next"), node("Identity" if keeps_on else "Not", "on", "still")]
    body = helper.make_graph(
        inner,
        "body",
        [tensor("turn", (), INT64), tensor("on", (), BOOL), tensor("state", (2, 12))],
        [tensor("still", (), BOOL), tensor("next", (2, 12))],
    )
    weights = WEIGHT | ({} if times is None else {"times": np.array(times, dtype="i8")})
    weights |= {"yes": np.array(True)}
    inputs = X if times is not None else {"x": (2, 12), "times": ()}
    return model([node("Loop", "times yes x", "y", body=body)], inputs, weights, dtypes={"times": INT64})


def test_a_loop_counts_as_often_as_it_runs(tmp_path: Path) -> None:
    found = traced(loop(5), tmp_path)
    assert found.totals.macs == 5 * 2 * 12 * 12
    assert found.totals.parameters == 144
    assert [(layer.path, layer.detail) for layer in found.layers] == [("loop", "x5"), ("loop.matmul", "x5")]


@pytest.mark.parametrize("made", [loop(None), loop(5, keeps_on=False)], ids=["unknown turns", "it may end itself"])
def test_a_loop_of_unknown_length_is_uncounted(made: onnx.ModelProto, tmp_path: Path) -> None:
    found = traced(made, tmp_path)
    assert (found.totals.macs, found.totals.uncounted_operations) == (0, {"Loop": 1})
    assert found.totals.parameters == 144


def test_a_scan_runs_once_for_each_step_of_its_input(tmp_path: Path) -> None:
    body = helper.make_graph(
        [node("MatMul", "step w", "mixed"), node("Add", "state mixed", "next"), node("Identity", "next", "out")],
        "body",
        [tensor("state", (12,)), tensor("step", (12,))],
        [tensor("next", (12,)), tensor("out", (12,))],
    )
    made = node("Scan", "zero x", "last all", body=body, num_scan_inputs=1)
    found = traced(model([made], {"x": (9, 12)}, WEIGHT | {"zero": floats(12)}, outputs=["all"]), tmp_path)
    assert found.totals.macs == 9 * 12 * 12
    assert found.totals.uncounted_operations == {}


@pytest.mark.parametrize(
    ("condition", "sides", "macs", "uncounted"),
    [
        (True, ("MatMul x w", "Relu x"), 288, {}),
        (False, ("MatMul x w", "Relu x"), 0, {}),
        (None, ("MatMul x w", "Relu x"), 0, {"If": 1}),
        (None, ("MatMul x w", "MatMul x v"), 288, {}),
    ],
)
def test_a_branch_counts_the_side_that_runs(
    condition: bool | None, sides: tuple[str, str], macs: int, uncounted: dict[str, int], tmp_path: Path
) -> None:
    graphs = {}
    for key, side in zip(("then_branch", "else_branch"), sides, strict=True):
        kind, _, inputs = side.partition(" ")
        graphs[key] = helper.make_graph([node(kind, inputs, key)], key, [], [tensor(key, (2, 12))])
    weights = WEIGHT | {"v": floats(12, 12)} | ({} if condition is None else {"c": np.array(condition)})
    given = X if condition is not None else {"x": (2, 12), "c": ()}
    found = traced(model([node("If", "c", "y", **graphs)], given, weights, dtypes={"c": BOOL}), tmp_path)
    assert (found.totals.macs, found.totals.uncounted_operations) == (macs, uncounted)


def functions(*, recursive: bool = False) -> onnx.ModelProto:
    """Two calls of a function that calls another one twice."""
    layer = helper.make_function(
        "own",
        "Layer",
        ["a", "m"],
        ["b"],
        [node("MatMul", "a m", "t"), node("LeakyRelu", "t", "b")],
        [helper.make_opsetid("", 20)],
        ["slope"],
    )
    reference = layer.node[1].attribute.add(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    assert reference.ref_attr_name == "slope"
    inner = node("Net" if recursive else "Layer", "t m", "b", domain="own", name="second")
    net = helper.make_function(
        "own",
        "Net",
        ["a", "m"],
        ["b"],
        [node("Layer", "a m", "t", domain="own", name="first", slope=0.2), inner],
        [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)],
    )
    calls = [node("Net", "x w", "y", domain="own", name="left"), node("Net", "y w", "z", domain="own", name="right")]
    return model(calls, X, WEIGHT, functions=[layer, net])


def test_functions_are_written_out_below_their_calls(tmp_path: Path) -> None:
    found = traced(functions(), tmp_path)
    assert found.totals.macs == 4 * 2 * 12 * 12
    assert found.totals.parameters == 144
    assert [layer.path for layer in found.rows(2)] == [
        *("left", "left.first", "left.second"),
        *("right", "right.first", "right.second"),
    ]
    assert [layer.macs for layer in found.rows(1)] == [576, 576]


def test_a_function_that_calls_itself_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="its function Net calls itself"):
        traced(functions(recursive=True), tmp_path)


def test_functions_that_double_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.onnx.inlining.LARGEST_GRAPH", 5)
    with pytest.raises(SourceError, match="more than 5 nodes"):
        traced(functions(), tmp_path)


def test_strict_raises_and_json_keeps(tmp_path: Path) -> None:
    made = model([node("Det", "x", "y")], {"x": (5, 5)})
    with pytest.raises(UncountedError, match="no formula for Det"):
        traced(made, tmp_path, strict=True)
    found = traced(made, tmp_path)
    assert Trace.from_json(found.to_json()) == found


def test_external_data_is_never_opened(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w", "y")], {"x": (1, 12)}, WEIGHT)
    stored = made.graph.initializer[0]
    stored.ClearField("raw_data")
    stored.dims[:] = [12, 10**10]  # 480 GB of weights
    stored.data_location = onnx.TensorProto.EXTERNAL
    stored.external_data.add(key="location", value="/etc/passwd")
    found = traced(made, tmp_path)
    assert found.totals.parameters == 12 * 10**10
    assert found.totals.macs == 12 * 10**10
    assert found.layers[0].output_shapes == ((1, 10**10),)


def test_inference_that_objects_is_quoted(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w", "y", name="fc")], {"x": (2, 11)}, WEIGHT)
    found = traced(made, tmp_path)
    assert found.totals.uncounted_operations == {"MatMul": 1}
    assert any("ONNX's shape inference objects to this file" in note and "fc" in note for note in found.notes)


def test_a_size_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w", "y", name="fc")], {"x": (2, "features")}, WEIGHT)
    assert traced(made, tmp_path, ["features=12"]).totals.macs == 2 * 144
    with pytest.raises(ForwardError, match=r"doesn't take x 2x11: .*fc"):
        traced(made, tmp_path, ["features=11"])


def test_a_size_that_the_exporter_wrote_down_is_found(tmp_path: Path) -> None:
    made = model([node("Reshape", "x shape", "y", name="flat")], {"x": ("n", 12)}, {"shape": np.array([2, 12])})
    assert traced(made, tmp_path, batch=2).layers[0].output_shapes == ((2, 12),)
    with pytest.raises(ForwardError, match="Reshape 'flat' makes 2x12 of 3x12, which has another number of elements"):
        traced(made, tmp_path, batch=3)


@pytest.mark.parametrize("column", ["saved", "receptive-field", "source"])
def test_what_needs_the_network_is_refused(column: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{column} can't be measured: name the network"):
        traced(model([LINEAR], X, WEIGHT), tmp_path, columns=[column])


def test_a_graph_is_measured_without_torch(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(model([LINEAR], X, WEIGHT, dtypes={"x": FLOAT}).SerializeToString())
    program = (
        "import sys; from archlab.cli.app import main\ntry:\n    main()\nexcept SystemExit as done:\n"
        "    assert done.code == 0\nassert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, "shapes", str(tmp_path / "net.onnx")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "MACs" in done.stdout
