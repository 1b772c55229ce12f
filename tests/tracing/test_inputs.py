"""From specs, shapes and tensors to arguments."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import ForwardError, InputError
from archlab.tracing import trace
from archlab.tracing.inputs import Input, parse_input

DEFAULT = (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("spec", "default", "expected"),
    [
        ("96", DEFAULT, Input((1, 3, 96, 96))),
        ("96", (1, 1, 28, 28), Input((1, 1, 96, 96))),
        ("112", (1, 3, 16, 224, 224), Input((1, 3, 16, 112, 112))),
        ("3x96x64", DEFAULT, Input((1, 3, 96, 64))),
        ("4x3x96x64", DEFAULT, Input((4, 3, 96, 64))),
        ("4×3×96×64", DEFAULT, Input((4, 3, 96, 64))),
        ("1x3x16x112x112", (1, 3, 16, 224, 224), Input((1, 3, 16, 112, 112))),
        ("1x128:int64", (), Input((1, 128), dtype=torch.int64)),
        ("ids=1x128:int64", (), Input((1, 128), "ids", torch.int64)),
        ("mask=2x7", (), Input((2, 7), "mask")),
        ("4:int64", DEFAULT, Input((4,), dtype=torch.int64)),
        ("t=4", DEFAULT, Input((4,), "t")),
        ("3x96x64:float32", DEFAULT, Input((3, 96, 64), dtype=torch.float32)),
        ("step=:int64", (), Input((), "step", torch.int64)),
        ("lengths=2:int64=6,4", DEFAULT, Input((2,), "lengths", torch.int64, "6,4")),
        ("3x8x8=ones", DEFAULT, Input((3, 8, 8), values="ones")),
        ("4x1x96x64", DEFAULT, Input((4, 1, 96, 64))),  # the network says itself what is wrong with it
        # Sizes of 0: rank and channels alone are known, from the network's first convolution.
        ("8", (1, 3, 0), Input((1, 3, 8))),
        ("8", (1, 3, 0, 0, 0), Input((1, 3, 8, 8, 8))),
        ("3x8x9", (1, 3, 0, 0), Input((1, 3, 8, 9))),
        ("1x8x4", (1, 3, 0, 0), Input((1, 8, 4))),
        ("8x4", (1, 3, 0, 0), Input((8, 4))),
        ("7x1x3x8x8", (1, 3, 0, 0), Input((7, 1, 3, 8, 8))),
        ("5x8x9", (1, 0, 0, 0), Input((1, 5, 8, 9))),
    ],
)
def test_specs(spec: str, default: tuple[int, ...], expected: Input) -> None:
    assert parse_input(spec, default) == expected


@pytest.mark.parametrize(
    ("spec", "default", "words"),
    [
        ("0", DEFAULT, "size of 0"),
        ("3x0x5", DEFAULT, "size of 0"),
        ("abc", DEFAULT, "'abc' is no size, expected 96"),
        ("-5", DEFAULT, "is no size"),
        ("3x-5", DEFAULT, "is no size"),
        ("", DEFAULT, "is no size"),
        ("1.5", DEFAULT, "is no size"),
        ("96", (), "give all sizes with the batch, as in 1x3x96x96, or an element type for a vector, as in 96:float32"),
        ("96", (1, 0, 0, 0), "give all sizes with the batch"),
        ("t=4x:int64", (), "'4x' is no size"),
        ("t=x4:int64", (), "'x4' is no size"),
        ("1x4:int64=", (), "can't be read: expected 96"),
        ("1x96x96", DEFAULT, "has 1 channels, expected 3"),
        ("7x1x3x96x96", DEFAULT, "has 5 sizes, expected 4"),
        ("3x96", DEFAULT, "has 2 sizes, expected 4"),
        ("1x5:int65", (), "did you mean int64"),
        ("a=b=3", (), "can't be read"),
    ],
)
def test_wrong_specs(spec: str, default: tuple[int, ...], words: str) -> None:
    with pytest.raises(InputError) as error:
        parse_input(spec, default)
    assert words in str(error.value)
    assert spec in str(error.value) or "int65" in str(error.value)


@pytest.mark.parametrize("inputs", [["0"], ["abc"], ["3x28x28"], [(1, 0, 28, 28)], "0", 0, 3.5])
def test_wrong_inputs_of_a_named_network(inputs: object) -> None:
    with pytest.raises(InputError):
        trace("lenet", inputs)


def test_what_a_call_can_give() -> None:
    shapes = [
        trace("lenet", inputs).inputs
        for inputs in (None, "28", 28, ["28"], (1, 1, 28, 28), [(1, 1, 28, 28)], torch.zeros(1, 1, 28, 28))
    ]
    assert set(shapes) == {((1, 1, 28, 28),)}
    assert trace("lenet", batch=7).inputs == ((7, 1, 28, 28),)
    assert trace("lenet", ["28"], batch=7).layers[-1].output_shapes == ((7, 10),)


@pytest.mark.parametrize("batch", [0, -1])
def test_wrong_batch(batch: int) -> None:
    with pytest.raises(InputError, match="must be 1 or more"):
        trace("lenet", batch=batch)


def test_a_module_without_a_size_needs_one() -> None:
    with pytest.raises(InputError, match="give its inputs"):
        trace(nn.Linear(3, 4))
    with pytest.raises(InputError, match="give its inputs"):
        trace(nn.Conv2d(3, 4, 3))


def test_a_modules_first_convolution_completes_a_size() -> None:
    assert trace(nn.Sequential(nn.Conv2d(3, 4, 3)), ["8"]).inputs == ((1, 3, 8, 8),)
    assert trace(nn.Sequential(nn.Conv2d(3, 4, 3)), ["3x8x9"]).inputs == ((1, 3, 8, 9),)


def test_names_and_types_are_kept() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(10, 4)

        def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
            result: Tensor = self.embedding(ids) * mask[..., None]
            return result

    found = trace(Model(), ["mask=2x5", "ids=2x5:int64"])
    assert (found.input_names, found.input_dtypes) == (("mask", "ids"), ("float32", "int64"))


class Masked(nn.Module):
    def forward(self, x: Tensor, y: Tensor | None = None, *, mask: Tensor) -> Tensor:
        return x * mask if y is None else x * y * mask


@pytest.mark.parametrize(
    ("network", "inputs", "message"),
    [
        (nn.Linear(3, 4), ["x=1x3"], r"^Linear takes \(input\), and was given \(x=1x3\): give each input once"),
        (nn.Linear(3, 4), {"x": (1, 3)}, r"takes \(input\), and was given \(x=1x3\)"),
        (nn.Linear(3, 4), [(1, 3), (1, 3)], r"was given \(1x3, 1x3\)"),
        (nn.Linear(3, 4), [(1, 3), "input=1x3"], r"was given \(1x3, input=1x3\)"),
        (Masked(), [(1, 3)], r"^Masked takes \(x, y if wanted, mask by name\), and was given \(1x3\)"),
        (Masked(), {"mask": [(1, 3)]}, r"was given \(mask=list\)"),
    ],
)
def test_inputs_that_the_network_has_no_place_for(network: nn.Module, inputs: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        trace(network, inputs)


def test_inputs_that_a_hook_or_a_call_of_its_own_changes_are_left_to_it() -> None:
    class Called(nn.Linear):
        def __call__(self, *inputs: Tensor) -> Tensor:
            result: Tensor = super().__call__(inputs[0])
            return result

    hooked = nn.Linear(3, 4)
    hooked.register_forward_pre_hook(lambda _module, inputs: inputs[:1])
    for network in (hooked, Called(3, 4)):
        assert trace(network, [(2, 3), (2, 3)]).totals.macs == 24  # 2 * 3 * 4


def test_the_floating_type_is_the_networks() -> None:
    assert trace(nn.Linear(3, 4).bfloat16(), [(2, 3)]).input_dtypes == ("bfloat16",)


@pytest.mark.filterwarnings("ignore:Complex modules")
def test_the_floating_type_is_real_also_where_the_first_parameter_is_complex() -> None:
    class Spectral(nn.Module):
        def __init__(self, dtype: torch.dtype) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4, 6, dtype=dtype))

        def forward(self, x: Tensor) -> Tensor:
            return torch.einsum("bim,iom->bom", torch.fft.rfft(x)[..., :6], self.weight)

    for dtype, expected in ((torch.complex64, "float32"), (torch.complex128, "float64")):
        found = trace(Spectral(dtype), ["1x4x16"])
        assert (found.inputs, found.input_dtypes) == (((1, 4, 16),), (expected,))
        assert found.layers[-1].output_shapes == ((1, 4, 6),)
        layer = nn.Linear(3, 4, dtype=dtype)
        assert trace(nn.Sequential(layer), ["2x3"]).input_dtypes == (str(dtype).removeprefix("torch."),)
        with pytest.raises(
            ForwardError, match=r"got real elements \(2x3\), expected complex.*; give complex ones, as in "
        ):
            trace(nn.Sequential(layer), [f"2x3:{expected}"])
    assert trace(nn.Identity(), ["2:complex64"]).input_dtypes == ("complex64",)


class Denoise(nn.Module):
    """A convolution whose result is shifted by a step, as in diffusion."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.shift = nn.Linear(1, 4)

    def forward(self, x: Tensor, t: Tensor, boxes: Tensor | None = None) -> Tensor:
        result: Tensor = self.conv(x) + self.shift(t.float()[:, None])[:, :, None, None]
        return result


@pytest.mark.parametrize("step", ["t=2:int64", "2:int64", "t=2", "2", (2,), torch.zeros(2, dtype=torch.int64)])
def test_what_is_given_in_full_is_taken_as_it_is(step: object) -> None:
    found = trace(Denoise(), ["2x3x5x5", step])
    assert found.inputs == ((2, 3, 5, 5), (2,))
    assert found.totals.macs == 5_408  # 2 * 25 * 4 * 27 = 5,400 and 2 * 1 * 4 = 8


@pytest.mark.parametrize("boxes", ["1x8x4", "boxes=1x8x4", "3x8x4", (1, 8, 4), (3, 8, 4)])
def test_only_the_first_input_is_shorthand(boxes: object) -> None:
    found = trace(Denoise(), ["5", "1", boxes])
    assert found.inputs[:2] == ((1, 3, 5, 5), (1,))
    assert len(found.inputs[2]) == 3


def test_tokens_before_a_convolution_are_taken_as_they_are() -> None:
    class TextNetwork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.conv = nn.Embedding(10, 4), nn.Conv1d(4, 5, 3)

        def forward(self, tokens: Tensor) -> Tensor:
            result: Tensor = self.conv(self.embedding(tokens).transpose(1, 2))
            return result

    found = trace(TextNetwork(), ["2x9:int64"])
    assert (found.inputs, found.totals.macs) == (((2, 9),), 840)  # 2 * 7 * 5 * 4 * 3 = 840
    with pytest.raises(InputError, match="isn't known what shape the network takes"):
        trace(TextNetwork(), ["9"])


@pytest.mark.parametrize("inputs", ["3x8x9", ["3x8x9"], (3, 8, 9), [(3, 8, 9)], [[3, 8, 9]], [3, 8, 9]])
@pytest.mark.parametrize("first", [nn.Identity(), nn.BatchNorm2d(3)])
def test_a_shape_in_python_is_completed_as_the_text_is(inputs: object, first: nn.Module) -> None:
    network = nn.Sequential(first, nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    assert trace(network, inputs).inputs == ((1, 3, 8, 9),)


@pytest.mark.parametrize("inputs", [["x=3x8x9"], {"x": "3x8x9"}, {"x": (3, 8, 9)}, ["3x8x9:float32"]])
def test_a_name_or_a_type_keeps_shorthand_as_it_is(inputs: object) -> None:
    class Unbatched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.conv(x)
            return result

    assert trace(Unbatched(), inputs).inputs == ((3, 8, 9),)


def test_the_batch_goes_to_every_shape() -> None:
    assert trace(Denoise(), ["5", "t=1:int64"], batch=6).inputs == ((6, 3, 5, 5), (6,))
    with pytest.raises(InputError, match="the batch is 6, and there is no input"):
        trace(Table(), [], batch=6)


class Table(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(3, 5))

    def forward(self) -> Tensor:
        return self.rows * 2


@pytest.mark.parametrize("inputs", [None, "none", ["none"], [], {}])
def test_no_input(inputs: object) -> None:
    found = trace(Table(), inputs)
    assert (found.inputs, found.totals.parameters, found.layers[-1].output_shapes) == ((), 15, ((3, 5),))


def test_an_input_given_twice() -> None:
    with pytest.raises(InputError, match=r"'t=3' names 't', which is given already"):
        trace(Denoise(), ["5", "t=2", "t=3"])


def test_wrong_calls() -> None:
    with pytest.raises(InputError, match="no column 'savd' to measure: did you mean saved"):
        trace("lenet", columns=["savd"])
    with pytest.raises(InputError, match="belong to a source"):
        trace(nn.Linear(3, 4), [(1, 3)], classes=3)
    with pytest.raises(InputError, match="expected a source"):
        trace(3, [(1, 3)])  # type: ignore[arg-type]
