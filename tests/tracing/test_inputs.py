"""From specs, shapes and tensors to arguments."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import InputError
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
        ("96", (), "give all sizes with the batch"),
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


def test_wrong_calls() -> None:
    with pytest.raises(InputError, match="no column 'savd' to measure: did you mean saved"):
        trace("lenet", columns=["savd"])
    with pytest.raises(InputError, match="belong to a source"):
        trace(nn.Linear(3, 4), [(1, 3)], norm="none")
    with pytest.raises(InputError, match="expected a source"):
        trace(3, [(1, 3)])  # type: ignore[arg-type]
