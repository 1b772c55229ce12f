"""Values of inputs, and arguments that are no tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from archlab.errors import InputError
from archlab.tracing import AsIs, trace
from archlab.tracing.inputs import Arguments, arguments, with_values, without_values


class Open(nn.Module):
    """Takes anything, and says nothing about it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(self, *inputs, **named):  # type: ignore[no-untyped-def]
        return inputs, named


def made(*inputs: Any, batch: int | None = None) -> Arguments:
    return arguments(list(inputs), Open(), (), batch)


def tensor(text: str, batch: int | None = None) -> Tensor:
    found = made(f"x={text}", batch=batch)[1]["x"]
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2:int64=6,4", torch.tensor([6, 4])),
        ("2=6,4", torch.tensor([6, 4])),
        ("6,4", torch.tensor([6, 4])),
        ("7,", torch.tensor([7])),
        ("2x2:float32=1,2,3.5,-4e1", torch.tensor([[1, 2], [3.5, -40]])),
        ("2=0.1,2", torch.tensor([0.1, 2], dtype=torch.float64)),
        ("3=true,False,true", torch.tensor([True, False, True])),
        ("3:bool=1,0,1", torch.tensor([True, False, True])),
        ("2x3:int32=7", torch.full((2, 3), 7, dtype=torch.int32)),
        (":int64=5", torch.tensor(5)),
        ("2x2:int64=ones", torch.ones(2, 2, dtype=torch.int64)),
        ("2=ones", torch.ones(2, dtype=torch.float64)),
        ("2:bool=zeros", torch.zeros(2, dtype=torch.bool)),
        ("2x4=arange", torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])),
        ("4:float32=arange", torch.arange(4, dtype=torch.float32)),
        (":int64=arange", torch.tensor(0)),
    ],
)
def test_values(text: str, expected: Tensor) -> None:
    found = tensor(text)
    assert (found.dtype, found.device.type) == (expected.dtype, "cpu")
    assert torch.equal(found, expected)


def test_random_values_are_within_bounds_and_the_same_every_time() -> None:
    state = torch.random.get_rng_state()
    whole = tensor("1x1000:int64=randint(5,9)")
    assert sorted(set(whole.flatten().tolist())) == [5, 6, 7, 8]
    assert sorted(set(tensor("1000=randint(3)").tolist())) == [0, 1, 2]
    assert tensor("9:int32=randint(-2, 0)").dtype == torch.int32
    uniform, normal = tensor("1000:float32=rand"), tensor("1000:float32=randn")
    assert 0 <= float(uniform.min()) < float(uniform.max()) < 1
    assert float(normal.min()) < -2 < 2 < float(normal.max())
    assert tensor("5:complex64=randn").dtype == torch.complex64
    for text, first in (("1x1000:int64=randint(5,9)", whole), ("1000:float32=rand", uniform)):
        assert torch.equal(tensor(text), first)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_batch_replaces_the_first_size_of_values_that_are_made() -> None:
    assert tensor("1x3:int64=arange", batch=2).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert tensor("1:int64=6", batch=2).tolist() == [6, 6]
    with pytest.raises(InputError, match="has 2 values, expected 3"):
        tensor("2:int64=6,4", batch=3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3=6,4", "has 2 values, expected 3 for the shape 3, or 1 for all of them"),
        (":int64=6,4", "has 2 values, expected 1 for the shape of a single number"),
        ("2=foo", "'foo' are no values, expected ones, zeros"),
        ("2=rand(", "are no values"),
        ("2=1,,2", "are no values"),
        ("2=randint(5,5)", "expected a first bound below the second"),
        ("2=randint(0)", "expected a first bound below the second"),
        ("2=randint(0,99999999999999999999)", "can't be made"),
        ("1=99999999999999999999", "can't be made"),
        ("1000000x1000000x100=ones", "would take 1,600,000 GB of memory"),
        ("2:int64=randn", "which are fractions, as integers"),
        ("1:int64=1.5", "values that int64 can't hold"),
        ("1:uint8=300", "values that uint8 can't hold"),
        ("2:int8=randint(0,1000)", "values that int8 can't hold"),
        ("ones", "has values and no shape: give it in front, as in x=1x128:int64=ones"),
        ("randint(0,5)", "has values and no shape"),
        ("(3", "'(3' is no value, expected one as Python writes it"),
        ("(4):int64", "is no value"),
        ("1x2:int65=ones", "did you mean int64"),
        ("9999999999x9999999999", "is larger than any tensor can be"),
        ("99999999999999999999x3", "is no size"),
        ("@" + 300 * "a" + ".npy", "which isn't there"),
        ("@~nobody-of-this-name/x.npy", "which isn't there"),
        ("@missing.npy", "names the file 'missing.npy', which isn't there"),
    ],
)
def test_wrong_values_are_one_message_that_quotes_the_text(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        tensor(text)
    assert message in str(error.value)
    assert repr(f"x={text}") in str(error.value)


HELD = torch.tensor([[3, 1, 2]])


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", HELD.numpy())
    np.save("big.npy", HELD.numpy().astype(">i8"))
    np.save("words.npy", np.array(["a"]))
    np.savez("x.npz", a=HELD.numpy(), b=np.zeros(2))
    torch.save(HELD, "x.pt")
    torch.save({"a": HELD, "b": torch.zeros(2)}, "two.pth")
    torch.save([HELD], "list.pt")
    torch.save(nn.Linear(2, 2), "network.pt")
    save_file({"ids": HELD}, "x.safetensors")
    Path("x.txt").write_text("3")
    Path("broken.safetensors").write_text("3")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    "text",
    [
        *("@x.npy", "@big.npy", "@x.npz#a", "@x.pt", "@two.pth#a", "@x.safetensors", "@x.safetensors#ids", "=@x.npy"),
        *("1x3=@x.npy", "1x3:int64=@x.pt"),
    ],
)
def test_files(text: str) -> None:
    assert torch.equal(tensor(text), HELD)
    position = text if text.startswith(("@", "=")) else f"={text.partition('=')[2]}"
    assert torch.equal(made(position)[0][0], HELD)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@x.txt", "expected a file .npy, .npz, .pt, .pth or .safetensors"),
        ("@two.pth", "expected @two.pth#KEY, of the tensors a, b"),
        ("@two.pth#c", "of the tensors a, b"),
        ("@list.pt", "of the tensors none, but a list"),
        ("@x.npy#a", "holds a single tensor: leave #a out"),
        ("@network.pt", "it holds more than tensors and plain values"),
        ("@words.npy", "can't be read from words.npy: TypeError"),
        ("@broken.safetensors", "can't be read from broken.safetensors"),
        ("1x4=@x.npy", "has the shape 1x4, but the file holds 1x3"),
        ("1x3:bool=@x.npy", "values that bool can't hold"),
    ],
)
def test_wrong_files(text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        tensor(text)
    assert message in str(error.value)
    assert repr(f"x={text}") in str(error.value)


class Reader(nn.Module):
    """Looks as many rows up as its largest index says."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(10, 4), nn.Linear(4, 5)

    def forward(self, ids: Tensor) -> Tensor:
        result: Tensor = self.linear(self.embedding(ids)[:, : int(ids.max())])
        return result


@pytest.mark.parametrize("inputs", [["1x4:int64=1,3,0,2"], {"ids": "1x4=1,3,0,2"}, [torch.tensor([[1, 3, 0, 2]])]])
def test_where_a_trace_needs_values_they_are_the_given_ones(inputs: object) -> None:
    found = trace(Reader(), inputs)
    assert found.totals.macs == 60  # 3 rows of 4 * 5
    assert found.notes == (), "nothing else has values"


def test_where_a_trace_needs_no_values_nothing_is_computed() -> None:
    found = trace(nn.Embedding(10, 4), ["1x4=1,3,0,2"])
    assert (found.input_dtypes, found.notes) == (("int64",), ())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("-3", -3), ("+3", 3), ("inf", float("inf"))),
        *(("True", True), ("false", False), ("None", None), ("none", None)),
        *(("'3x4'", "3x4"), ('"a b"', "a b"), ("mean", "mean"), ("bilinear-2", "bilinear-2")),
        *(("(16, 16)", (16, 16)), ("[1, 2.0]", [1, 2.0]), ("{'a': (1,)}", {"a": (1,)}), ("()", ())),
    ],
)
def test_texts_of_what_is_no_tensor(text: str, expected: object) -> None:
    for found in (made(f"x={text}")[1]["x"], made("1x2", text)[0][1]):
        assert found == expected
        assert type(found) is type(expected)


class Choosing(nn.Module):
    """Says by defaults and annotations what it takes; its work follows from the values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 4)})

    def forward(  # type: ignore[no-untyped-def]
        self, x, head="a", scale=1.0, size=None, n=1, *, grid: tuple[int, int] | None = None, mode: str | None = None
    ):
        y = self.heads[head](x) * scale
        assert isinstance(n, int)
        for _ in range(n - 1):
            y = self.heads["a"](y)
        assert size in (None, (16, 16))
        assert grid in (None, (2, 3))
        assert mode in (None, "none", "3x3")
        return y


@pytest.mark.parametrize(
    ("inputs", "macs"),
    [
        (["2x8"], 128),  # 2 * 8 * 8
        (["2x8", "b"], 64),
        (["2x8", "head=b"], 64),
        (["2x8", "head='b'"], 64),
        (["2x8", "a", "2.0", "None", "3"], 384),
        (["2x8", "n=3"], 384),
        (["2x8", "n=3", "size=(16,16)", "grid=2,3", "mode=3x3"], 384),
        (["2x8", "grid=(2,3)", "mode=none"], 128),
        ([torch.zeros(2, 8), "b"], 64),
        ([torch.zeros(2, 8), "a", 2.0, None, 3], 384),
        ({"x": torch.zeros(2, 8), "head": "b"}, 64),
        ({"x": (2, 8), "size": (16, 16), "n": 3}, 384),
        ({"x": "2x8", "grid": (2, 3), "mode": "3x3"}, 128),
        ({"x": (2, 8), "size": AsIs((16, 16)), "head": AsIs("b")}, 64),
    ],
)
def test_arguments_that_are_no_tensors(inputs: object, macs: int) -> None:
    found = trace(Choosing(), inputs)
    assert (found.inputs, found.totals.macs) == (((2, 8),), macs)
    assert len(found.input_names) == isinstance(inputs, dict)  # of tensors alone


def test_containers_keep_their_form_and_get_tensors() -> None:
    positional, _ = made("1x2", {"a": (2, 3), "b": ["1x3:int64=ones", AsIs((4, 4)), 5, "word"], "c": torch.ones(1)})
    found = positional[1]
    assert (found["a"].shape, found["a"].is_meta) == ((2, 3), True)
    assert found["b"][0].tolist() == [[1, 1, 1]]
    assert found["b"][1:] == [(4, 4), 5, "word"]
    assert found["c"].tolist() == [1.0]


def test_a_word_instead_of_a_tensor_is_refused() -> None:
    for inputs in (["abc"], ["ids=abc"], ["0.5"], ["True"]):
        with pytest.raises(InputError, match="is no size"):
            trace(Reader(), inputs)


def test_a_packed_sequence_is_an_input_like_others() -> None:
    packed = pack_sequence([torch.randn(length, 6) for length in (5, 3, 1)])
    inputs: list[object] = [packed, [packed], {"input": packed}]
    for item in inputs:
        assert trace(nn.LSTM(6, 7), item).totals.macs == 3_276  # 5 + 3 + 1 rows of 4 * 7 * (6 + 7) = 364
    for change, device in ((without_values, "meta"), (with_values, "cpu")):
        found = change(((packed,), {}))[0][0]
        assert isinstance(found, PackedSequence)
        assert found.data.device.type == device
        assert found.batch_sizes.tolist() == [3, 2, 2, 1, 1]


PARTS = (
    "1",
    "x",
    "3",
    "=",
    ",",
    ":",
    "(",
    "[",
    "'",
    "@",
    "#",
    "~",
    "-",
    "+",
    ".",
    "9" * 20,
    " ",
    "²",
    "t",
    "none",
    "true",
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([*PARTS, "ones", "arange", "randint(", ":int64", "=6,4"]), max_size=5).map("".join))
def test_any_text_gives_arguments_or_one_error(text: str) -> None:
    messages = []
    for inputs in ([text], ["1x2", text], {"k": text}):
        try:
            arguments(inputs, Open(), (), None)
        except InputError as error:
            messages.append(str(error))
    assert all(message.startswith("the input ") for message in messages)
