"""Files that are no models, or damaged ones; and the sizes that users give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import archlab
from archlab.errors import ArchlabError, InputError, SourceError
from archlab.networks import resolve

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'archlab[onnx]'")
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.command import run
from tests.onnx.graphs import INT64, floats, model, node, tensor, traced

SMALL = model(
    [node("Conv", "x w", "y", name="/stem/conv/Conv"), node("Relu", "y", "z")],
    {"x": ("batch", 3, "height", "width")},
    {"w": floats(4, 3, 3, 3)},
)
STORED = SMALL.SerializeToString()


def write(folder: Path, data: bytes) -> str:
    path = folder / "net.onnx"
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "holds no ONNX model"),
        (b"\x00\xff" * 50, "can't be read as an ONNX model"),
        (b"PK\x03\x04 a zip", "can't be read as an ONNX model"),
        (STORED[: len(STORED) // 2], "can't be read as an ONNX model"),
    ],
)
def test_what_is_no_model_is_one_error(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=message):
        archlab.trace(write(tmp_path, data))


def test_a_file_that_is_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no file"):
        archlab.trace(str(tmp_path / "other.onnx"))
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(SourceError, match="is no file"):
        archlab.trace(str(tmp_path / "folder.onnx"))
    with (tmp_path / "huge.onnx").open("wb") as file:
        file.truncate(3 * 10**9)  # takes no space on the disk
    with pytest.raises(SourceError, match=r"has 3\.0 GB, and no ONNX model has more than 2"):
        archlab.trace(str(tmp_path / "huge.onnx"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(STORED) - 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_file_is_measured_or_refused(tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    data = bytearray(STORED)
    for place, byte in changes:
        data[place] = byte
    try:
        found = archlab.trace(write(tmp_path, bytes(data)), [16])
    except ArchlabError:
        return
    assert found.totals.macs >= 0


def test_a_negative_size_is_damage(tmp_path: Path) -> None:
    made = model([node("MatMul", "x w", "y")], {"x": (2, 12)}, {"w": floats(12, 7)})
    made.graph.initializer[0].dims[0] = -12
    with pytest.raises(SourceError, match="is damaged: its tensor 'w'"):
        traced(made, tmp_path)


def test_an_input_that_is_no_tensor(tmp_path: Path) -> None:
    from onnx import helper

    made = model([node("SequenceLength", "x", "y")], {"x": (2,)})
    made.graph.input[0].CopyFrom(helper.make_tensor_sequence_value_info("x", 1, [2]))
    with pytest.raises(SourceError, match=r"takes 'x', which is no tensor \(sequence\)"):
        traced(made, tmp_path)


@pytest.mark.parametrize(
    ("inputs", "batch", "shape"),
    [
        (["16"], None, (1, 3, 16, 16)),
        ([16], 4, (4, 3, 16, 16)),
        (["3x16x20"], None, (1, 3, 16, 20)),
        (["3x16x20"], 4, (4, 3, 16, 20)),
        (["2x3x16x20"], None, (2, 3, 16, 20)),
        (["2x3x16x20:float32"], None, (2, 3, 16, 20)),
        (["x=2x3x16x20"], None, (2, 3, 16, 20)),
        (["x=2x3x16x20"], 5, (5, 3, 16, 20)),
        (["height=16", "width=20"], None, (1, 3, 16, 20)),
        (["height=16", "width=20", "batch=6"], None, (6, 3, 16, 20)),
        ({"x": (2, 3, 16, 20)}, None, (2, 3, 16, 20)),
        ({"height": 16, "width": 20}, 2, (2, 3, 16, 20)),
        ((2, 3, 16, 20), None, (2, 3, 16, 20)),
        ([(2, 3, 16, 20)], None, (2, 3, 16, 20)),
        ([floats(2, 3, 16, 20)], None, (2, 3, 16, 20)),
    ],
)
def test_open_sizes_are_given(inputs: Any, batch: int | None, shape: tuple[int, ...], tmp_path: Path) -> None:
    found = traced(SMALL, tmp_path, inputs, batch=batch)
    assert found.inputs == (shape,)
    assert found.totals.macs == shape[0] * 4 * (shape[2] - 2) * (shape[3] - 2) * 27


@pytest.mark.parametrize(
    ("inputs", "batch", "message"),
    [
        (None, None, r"leaves sizes open: x=\[batch\]x3x\[height\]x\[width\].*--input x=Nx3xNxN.*--input height=N"),
        (["height=16"], 2, r"leaves sizes open.*--input width=N"),
        (["1x4x16x16"], None, r"fixes x at \[batch\]x3x\[height\]x\[width\]: its size 3 can't become 4"),
        (["16x16"], None, "given as 16x16, expected 4 sizes"),
        (["y=16"], None, "no input and no open size 'y'"),
        (["x=1x3x16x16", "height=20"], None, "the size 'height' .* is given as 20 and as 16"),
        (["x=1x3x16x16", "x=1x3x16x16"], None, "'x' is given twice"),
        (["1x3x16x16", "1x3x16x16"], None, "2 inputs are given"),
        (["1x3x16x16:int64"], None, "holds float32, and int64 was given"),
        (["1x3x16x16:float31"], None, "unknown element type"),
        (["1x3x16x16=ones"], None, "can't be read"),
        (["x=1x3x16x16:float32=ones"], None, "values can't be given"),
        (["1x0x3x3"], None, "expected sizes of 1 or more"),
        (["none"], None, "takes x"),
        ([16], 0, "the batch is 0"),
        (3.5, None, "expected a list of shapes"),
    ],
)
def test_sizes_that_are_wrong_are_one_clear_error(inputs: Any, batch: int | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        traced(SMALL, tmp_path, inputs, batch=batch)


def test_a_first_size_alone_is_one_and_two_inputs_share_their_names(tmp_path: Path) -> None:
    made = model([node("Add", "a b", "y")], {"a": ("n", 5), "b": ("n", 5)})
    assert traced(made, tmp_path).inputs == ((1, 5), (1, 5))
    found = traced(made, tmp_path, ["a=7x5"])
    assert (found.inputs, found.input_names) == (((7, 5), (7, 5)), ("a", "b"))
    with pytest.raises(InputError, match=r"the size 'n' .* is given as 7 and as 8"):
        traced(made, tmp_path, ["a=7x5", "b=8x5"])


def test_a_shape_that_the_file_tells_of_other_inputs_is_not_believed(tmp_path: Path) -> None:
    made = model([node("Relu", "x", "y"), node("Relu", "y", "z")], {"x": ("n", 5)})
    made.graph.value_info.append(tensor("y", (99, 5)))
    assert traced(made, tmp_path, batch=3).layers[0].output_shapes == ((3, 5),)


def test_building_a_graph_says_what_takes_it(tmp_path: Path) -> None:
    path = write(tmp_path, STORED)
    with pytest.raises(SourceError, match="is a graph, and no network that can be built"):
        resolve(path)
    for command in (["shapes", path, "--fits", "24GB"], ["shapes", path, "--verify"], ["train", path]):
        done = run(*command)
        assert (done.code, "is a graph" in done.err) == (2, True), command


def test_every_command_that_measures_takes_a_graph(tmp_path: Path) -> None:
    path, kept = write(tmp_path, STORED), str(tmp_path / "kept.json")
    for command in (
        ["shapes", path, "--input", "16", "--depth", "all"],
        ["growth", path, "--input", "16"],
        ["check", path, "--input", "16", "--max-parameters", "108", "--save", kept],
        ["check", path, "--against", kept],
        ["diff", path, kept, "--input", "16", "--exit-code"],
        ["graph", path, "--input", "16", "-o", str(tmp_path / "net.svg")],
        ["report", path, "--input", "16", "-o", str(tmp_path / "net.html"), "--store", str(tmp_path / "runs")],
    ):
        done = run(*command)
        assert done.code == 0, (command, done.err)
    assert run("check", path, "--input", "16", "--max-parameters", "107").code == 1
    assert run("check", path, "--input", "16", "--lint").code == 2


def test_without_the_library_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(SourceError, match=r"pip install 'archlab\[onnx\]'"):
        archlab.trace(write(tmp_path, STORED))


def test_integer_inputs_keep_their_type(tmp_path: Path) -> None:
    made = model([node("Gather", "table ids", "y")], {"ids": ("n", 4)}, {"table": floats(9, 2)}, dtypes={"ids": INT64})
    assert traced(made, tmp_path, ["2x4:int64"]).input_dtypes == ("int64",)
