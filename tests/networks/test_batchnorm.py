import copy
import gc

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archlab.errors import InputError
from archlab.networks.batchnorm import BatchNorm


def pair(shape: tuple[int, ...], seed: int = 0) -> tuple[BatchNorm, nn.Module]:
    """archlab's layer and torch's, double precision, with the same random weight and bias."""
    generator = torch.Generator().manual_seed(seed)
    mine = BatchNorm(shape[1]).double()
    theirs = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1]).double()
    with torch.no_grad():
        mine.weight.copy_(torch.randn(shape[1], generator=generator))
        mine.bias.copy_(torch.randn(shape[1], generator=generator))
    theirs.load_state_dict(mine.state_dict())
    return mine, theirs


shapes = st.one_of(
    st.tuples(st.integers(2, 9), st.integers(1, 5)),
    st.tuples(st.integers(2, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
)


@settings(deadline=None, max_examples=30)
@given(shapes, st.integers(0, 1000))
def test_equals_torch_in_output_and_gradients(shape: tuple[int, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = 3 * torch.randn(shape, dtype=torch.float64, generator=generator) + 5
    weights = torch.randn(shape, dtype=torch.float64, generator=generator)
    results = []
    for layer in pair(shape, seed):
        x = values.clone().requires_grad_()
        y = layer(x)
        (y * weights).sum().backward()
        assert x.grad is not None
        results.append([y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())])
    for mine, theirs in zip(*results, strict=True):
        assert mine is not None
        # Two values per channel can be nearly equal: then 1 / sqrt(variance + eps) magnifies rounding up to 300 times.
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("shape", "values"),
    [((256, 3), 256), ((4, 3, 5, 7), 140)],  # 4 * 5 * 7 = 140
)
def test_running_variance_differs_by_n_over_n_minus_1(shape: tuple[int, ...], values: int) -> None:
    mine, theirs = pair(shape)
    for _ in range(3):
        x = torch.randn(shape, dtype=torch.float64)
        mine(x)
        theirs(x)
    assert isinstance(theirs.running_mean, torch.Tensor)
    assert isinstance(theirs.running_var, torch.Tensor)
    torch.testing.assert_close(mine.running_mean, theirs.running_mean, rtol=1e-12, atol=1e-12)
    # Of the first value, 1, both have kept 0.9^3; the rest is the batches' share.
    kept = 0.9**3
    torch.testing.assert_close(
        (mine.running_var - kept) * (values / (values - 1)), theirs.running_var - kept, rtol=1e-12, atol=1e-12
    )


def test_evaluation_uses_the_running_statistics_and_leaves_them() -> None:
    mine, theirs = pair((4, 3, 5, 5))
    mine(torch.randn(4, 3, 5, 5, dtype=torch.float64))
    theirs.load_state_dict(mine.state_dict())
    before = copy.deepcopy(mine.state_dict())
    x = torch.randn(1, 3, 1, 1, dtype=torch.float64)  # one value per channel is enough here
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(before[name], value) for name, value in mine.state_dict().items())


def test_momentum_is_the_share_of_the_old_average() -> None:
    layer = BatchNorm(1, momentum=0.75)
    layer(torch.tensor([[2.0], [6.0]]))
    assert layer.running_mean.item() == 1.0  # 0.75 * 0 + 0.25 * 4
    assert layer.running_var.item() == 1.75  # 0.75 * 1 + 0.25 * 4, the biased variance of 2 and 6
    assert layer.num_batches_tracked.item() == 1


def test_starts_as_the_course_says() -> None:
    layer = BatchNorm(2)
    assert (layer.momentum, layer.eps) == (0.9, 1e-5)
    assert layer.running_mean.tolist() == [0, 0]
    assert layer.running_var.tolist() == [1, 1]


def test_state_survives_saving_moving_and_torch() -> None:
    layer = BatchNorm(3)
    layer(torch.randn(8, 3) + 4)
    again = BatchNorm(3)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.running_mean, layer.running_mean)
    assert torch.equal(again.running_var, layer.running_var)
    assert list(layer.state_dict()) == list(nn.BatchNorm1d(3).state_dict())
    assert layer.to(torch.float64).running_mean.dtype == torch.float64
    assert layer.to("meta").running_var.is_meta


def test_nothing_grows_over_a_thousand_steps() -> None:
    network = nn.Sequential(nn.Linear(2, 2), BatchNorm(2))
    norm = network[1]
    assert isinstance(norm, BatchNorm)
    x = torch.randn(4, 2)

    def step() -> None:
        network.zero_grad()
        network(x).square().sum().backward()

    def tensors() -> int:
        gc.collect()
        # By type(): asking some of torch's own objects for __class__ warns of their deprecation.
        return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())

    buffers = [id(buffer) for buffer in norm.buffers()]
    for _ in range(10):
        step()
    before = tensors()
    for _ in range(1000):
        step()
    assert tensors() == before
    assert [id(buffer) for buffer in norm.buffers()] == buffers
    for buffer in norm.buffers():
        # A graph that one step's average hands to the next one's can grow only through these.
        assert buffer.grad_fn is None
        assert not buffer.requires_grad


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((4, 3, 5), ["3-d", "(4, 3, 5)", "(batch, 3)", "(batch, 3, height, width)"]),
        ((3,), ["1-d"]),
        ((4, 5), ["given 5 channels", "expected 3", "BatchNorm(5)"]),
        ((4, 5, 2, 2), ["given 5 channels", "expected 3"]),
        ((1, 3), ["one value per channel", "training", "larger batch", ".eval()"]),
        ((1, 3, 1, 1), ["one value per channel"]),
    ],
)
def test_wrong_input_is_refused_with_what_would_fit(shape: tuple[int, ...], words: list[str]) -> None:
    layer = BatchNorm(3)
    with pytest.raises(InputError) as caught:
        layer(torch.zeros(shape))
    for word in words:
        assert word in str(caught.value)
    assert layer.num_batches_tracked.item() == 0


def test_runs_stacked_under_vmap() -> None:
    layers = [BatchNorm(3) for _ in range(4)]
    x = torch.randn(8, 3)
    parameters, buffers = torch.func.stack_module_state(layers)

    def forward(parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))  # type: ignore[no-any-return]

    result = torch.func.vmap(forward)(parameters, buffers)
    alone = BatchNorm(3)
    expected = alone(x)
    for index in range(4):
        torch.testing.assert_close(result[index], expected)
        torch.testing.assert_close(buffers["running_mean"][index], alone.running_mean)


def test_can_be_exported() -> None:
    program = torch.export.export(BatchNorm(3).eval(), (torch.randn(2, 3, 4, 4),))
    assert program.module()(torch.ones(2, 3, 4, 4)).shape == (2, 3, 4, 4)
