import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks

from archlab.networks.weightless import build_weightless


class ReadsTable(nn.Module):
    """Reads the values of a table, as many transformers do for their rates."""

    def __init__(self) -> None:
        super().__init__()
        rates = [rate.item() for rate in torch.linspace(0, 0.2, 3)]
        self.layers = nn.ModuleList(nn.Dropout(rate) for rate in rates)
        self.linear = nn.Linear(3, 4)


class ReadsZeros(nn.Module):
    """Does arithmetic with both kinds of tensors, and reads the result: only the second way builds it."""

    def __init__(self) -> None:
        super().__init__()
        width = int((torch.zeros(2) + torch.arange(2)).sum())
        first = nn.Linear(3, width)
        self.first = first
        self.same = nn.Linear(3, width)
        self.same.weight = first.weight
        self.register_buffer("table", torch.zeros(4, 4).triu(1))


class ReadsParameter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.largest = float(self.linear.weight.detach().max())


class HoldsTensors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.plain = torch.arange(4)
        self.number = torch.tensor(3)
        self.register_buffer("index", self.plain)
        self.scale = nn.Parameter(torch.tensor([1.0, 2.0]), requires_grad=False)
        self.again = self.scale
        self.norm = nn.BatchNorm2d(2)
        self.lazy = nn.LazyLinear(3)


BUILT: list[Callable[[], nn.Module]] = [
    lambda: nn.Linear(3, 4),
    lambda: nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
    lambda: nn.LSTM(3, 4),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)),
    ReadsTable,
    ReadsZeros,
    HoldsTensors,
]


def torch_state() -> tuple[object, ...]:
    return (
        torch.get_rng_state().tolist(),
        torch.empty(1).device,
        torch._C._len_torch_function_stack(),
        len(module_hooks._global_parameter_registration_hooks),
        nn.init.normal_,
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize("make", BUILT)
def test_the_network_is_the_same_but_for_its_memory(make: Callable[[], nn.Module]) -> None:
    before = torch_state()
    hollow = build_weightless(make)
    assert torch_state() == before
    real = make()
    for mine, theirs in (
        (dict(hollow.named_parameters()), dict(real.named_parameters())),
        (dict(hollow.named_buffers()), dict(real.named_buffers())),
    ):
        assert list(mine) == list(theirs)
        for name, value in theirs.items():
            if mine[name].is_meta:
                assert isinstance(value, nn.Parameter) or (value.is_floating_point() and value.dim())
            else:
                assert torch.equal(mine[name], value), "a table of integers, or a number"
            assert mine[name].dtype == value.dtype
            assert mine[name].requires_grad == value.requires_grad
            if not isinstance(value, nn.UninitializedParameter):
                assert mine[name].shape == value.shape


@pytest.mark.parametrize(
    "make", [lambda: nn.Linear(-1, 4), ReadsParameter, lambda: 1 / 0, lambda: torch.zeros(2) + torch.zeros(3)]
)
def test_torch_is_left_alone_after_an_exception(make: Callable[[], nn.Module]) -> None:
    before = torch_state()
    with pytest.raises(Exception, match=r"."):
        build_weightless(make)
    assert torch_state() == before


def test_shared_parameters_stay_shared() -> None:
    network = build_weightless(ReadsZeros)
    assert network.get_parameter("first.weight") is network.get_parameter("same.weight")
    held = build_weightless(HoldsTensors)
    assert held.scale is held.again
    assert held.plain is held.index


def test_no_value_is_drawn_and_no_memory_taken() -> None:
    # 2^40 * 4 bytes each: far more than any machine has
    network = build_weightless(lambda: nn.Sequential(nn.Linear(2**20, 2**20), nn.Embedding(2**20, 2**20)))
    assert sum(parameter.numel() for parameter in network.parameters()) == 2 * 2**40 + 2**20


@pytest.mark.parametrize(
    "mask",
    [
        lambda: torch.full((5, 4), -float("inf")).triu(1),
        lambda: torch.tril(torch.ones(5, 4, dtype=torch.bool), diagonal=-1),
        lambda: torch.arange(20.0).reshape(5, 4).tril(),
    ],
)
def test_masks_have_their_shape_and_type(mask: Callable[[], Tensor]) -> None:
    def make() -> nn.Module:
        module = nn.Module()
        module.register_buffer("mask", mask())
        return module

    value = build_weightless(make).get_buffer("mask")
    assert value.is_meta == value.is_floating_point()
    assert value.is_meta or torch.equal(value, mask())
    assert (value.shape, value.dtype) == (mask().shape, mask().dtype)


def test_tensors_outside_modules_keep_their_values() -> None:
    network = build_weightless(HoldsTensors)
    assert isinstance(network.plain, Tensor)
    assert network.plain.tolist() == [0, 1, 2, 3]
    assert isinstance(network.number, Tensor)
    assert network.number.item() == 3


def test_other_threads_build_real_networks_meanwhile() -> None:
    started, built = threading.Event(), threading.Event()
    others: list[nn.Module] = []

    def other() -> None:
        started.wait(10)
        others.append(nn.Linear(3, 4))
        built.set()

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if float(torch.zeros(1) + torch.arange(1)) == 0:  # the second way, whose hook other threads pass too
                started.set()
                built.wait(10)
            self.linear = nn.Linear(3, 4)

    thread = threading.Thread(target=other)
    thread.start()
    network = build_weightless(Slow)
    thread.join()
    assert all(parameter.is_meta for parameter in network.parameters())
    assert all(not parameter.is_meta for other in others for parameter in other.parameters())
    assert len(others) == 1


class Patching(nn.Module):
    """Replaces how a layer fills itself, and never puts it back."""

    def __init__(self) -> None:
        super().__init__()
        setattr(nn.Linear, "reset_parameters", filled_otherwise)  # noqa: B010
        self.linear = nn.Linear(3, 4)


def filled_otherwise(layer: nn.Module) -> None: ...


class Raising(nn.Module):
    """Can't be built."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        raise ArithmeticError("no luck today")


def test_layers_fill_themselves_again_after_a_building() -> None:
    """Whatever came of it; a change that somebody made meanwhile for good stays."""
    before = nn.Linear.reset_parameters
    build_weightless(lambda: nn.Sequential(nn.Linear(3, 4), nn.Conv2d(1, 2, 3)))
    assert nn.Linear.reset_parameters is before
    with pytest.raises(ArithmeticError):
        build_weightless(Raising)
    assert nn.Linear.reset_parameters is before
    try:
        build_weightless(Patching)
        assert nn.Linear.reset_parameters is filled_otherwise
    finally:
        nn.Linear.reset_parameters = before  # type: ignore[method-assign]


def test_a_layer_that_fills_itself_otherwise_is_heard() -> None:
    filled = []

    class Own(nn.Linear):
        def reset_parameters(self) -> None:
            filled.append(self.weight.is_meta)
            super().reset_parameters()

    build_weightless(lambda: Own(3, 4))
    assert filled == [True]


def test_other_threads_fill_their_layers_meanwhile() -> None:
    others: list[nn.Linear] = []

    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            thread = threading.Thread(target=lambda: others.append(nn.Linear(30, 40, bias=False)))
            thread.start()
            thread.join()
            self.linear = nn.Linear(3, 4)

    build_weightless(Slow)
    (other,) = others
    assert not other.weight.is_meta
    assert other.weight.abs().max() <= 30**-0.5  # uniform in this range (He et al. 2015)
    assert other.weight.std() > 0.09  # 30 ** -0.5 / 3 ** 0.5 = 0.105
