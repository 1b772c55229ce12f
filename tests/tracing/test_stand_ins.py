"""What stands in for tensors of classes of their own; what nothing can stand in for is refused untouched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.errors import ForwardError, InputError
from archlab.tracing import trace, verify
from archlab.tracing.inputs import arguments
from archlab.tracing.isolation import isolated
from archlab.tracing.memory.fitting import fits
from archlab.tracing.memory.step import pretended_step


class Scaled(nn.Parameter):
    """As quantised weights are: values in small numbers, and what they are multiplied with as an attribute."""

    scale: Tensor

    def __new__(cls, data: Tensor, scale: Tensor) -> Scaled:
        made = Tensor._make_subclass(cls, data, False)
        made.scale = scale
        return made


class ScaledLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = Scaled(torch.ones(4, 8, dtype=torch.int8), torch.full((4, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        assert type(self.weight) is Scaled
        return F.linear(x, self.weight.to(x.dtype) * self.weight.scale)


class Named(nn.Parameter):
    """A parameter that hears of every function that takes it."""

    heard: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.heard.append(getattr(func, "__name__", ""))
        return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]


class Opaque(Tensor):
    """The sum of two tensors as one tensor, which has no values of its own."""

    first: Tensor
    second: Tensor

    def __new__(cls: Any, first: Tensor, second: Tensor) -> Any:
        strides, dtype, device = first.stride(), first.dtype, first.device
        made = Tensor._make_wrapper_subclass(cls, first.shape, strides=strides, dtype=dtype, device=device)
        made.first, made.second = first, second
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func in (torch.ops.aten.detach.default, torch.ops.aten.clone.default):
            return cls(func(args[0].first), func(args[0].second))
        opened = [item.first + item.second if isinstance(item, Opaque) else item for item in args]
        return func(*opened, **(kwargs or {}))


class Wrapped(Opaque):
    """The same, which can be taken apart by torch's protocol, as torchao's can."""

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["first", "second"], None

    @classmethod
    def __tensor_unflatten__(cls, inner: dict[str, Tensor], context: None, size: Any, stride: Any) -> Opaque:
        made: Opaque = cls(inner["first"], inner["second"])
        return made


class Answers(Wrapped):
    """The same, which says itself what a linear layer does, and knows little else: as torchao's weights."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear:
            return F.linear(args[0], args[1].first + args[1].second, *args[2:])
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func is torch.ops.aten.detach.default:
            return cls(args[0].first, args[0].second)
        raise NotImplementedError(f"{func} isn't known")


class Sealed(Opaque):
    """The same, and it gives no copy of itself."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        if func is torch.ops.aten.clone.default:
            raise NotImplementedError("sealed")
        return super().__torch_dispatch__(func, types, args, kwargs)


class Holds(nn.Module):
    def __init__(self, weight: Any) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.weight = nn.Parameter(weight, requires_grad=False) if not isinstance(weight, nn.Parameter) else weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(self.norm(x), self.weight)


def test_a_parameter_keeps_its_class_and_attributes() -> None:
    network = ScaledLinear()
    weight, scale = network.weight, network.weight.scale
    weight.more = {"calls": []}  # type: ignore[attr-defined]
    found = trace(network, [(2, 8)])
    assert (found.totals.macs, found.totals.parameters, found.notes) == (2 * 8 * 4, 32, ())
    with isolated(network, device="cpu", values=True):
        assert type(network.weight) is Scaled
        assert network.weight is not weight
        assert network.weight.scale is not scale
        assert torch.equal(network.weight.scale, scale)
        assert network(torch.ones(1, 8)).tolist() == [[4.0] * 4]
        network.weight.scale.zero_()
        network.weight.more["calls"].append(1)  # type: ignore[attr-defined]
        network.weight.extra = 1  # type: ignore[attr-defined]
    assert network.weight is weight
    assert vars(weight) == {"scale": scale, "more": {"calls": []}}
    assert scale.tolist() == [[0.5]] * 4


def test_a_parameter_that_hears_functions() -> None:
    network = Holds(Named(torch.ones(4, 8)))
    Named.heard.clear()
    with isolated(network):
        assert Named.heard == []
        assert type(network.weight) is Named
    assert trace(network, [(2, 8)]).totals.macs == 64


@pytest.mark.parametrize("kind", [Wrapped, Opaque])
def test_a_tensor_made_of_others(kind: Any) -> None:
    network = Holds(kind(torch.ones(4, 8), torch.ones(4, 8)))
    weight = network.weight
    assert type(weight) is kind
    expected = network.eval()(torch.ones(1, 8))
    network.train()
    with isolated(network, device="cpu", values=True):
        assert type(network.weight) is kind
        assert isinstance(network.weight, nn.Parameter)
        network.weight.first.zero_()  # type: ignore[attr-defined]
    for columns in ((), ("receptive-field",), ("saved",)):
        found = trace(network, [(2, 8)], columns=columns)
        assert (found.totals.macs, found.totals.parameters) == (2 * 8 * 4, 8 + 8 + 4 * 8)
    assert network.weight is weight
    assert torch.equal(network.eval()(torch.ones(1, 8)), expected)


@pytest.mark.parametrize("columns", [(), ("saved",), ("receptive-field",)])
def test_a_weight_that_says_what_its_layer_does(columns: tuple[str, ...]) -> None:
    network: Any = nn.Sequential(nn.Linear(8, 4))
    network[0].weight = weight = nn.Parameter(Answers(torch.ones(4, 8), torch.ones(4, 8)))
    expected = network(torch.ones(2, 8))
    found = trace(network, [(2, 8)], columns=columns)
    assert (found.totals.macs, found.totals.parameters) == (2 * 8 * 4, 4 * 8 + 4)
    assert [layer.kind for layer in found.layers] == [
        layer.kind for layer in trace(nn.Sequential(nn.Linear(8, 4)), [(2, 8)]).layers
    ]
    assert network[0].weight is weight
    assert torch.equal(network(torch.ones(2, 8)), expected)


def test_a_wrapped_parameter_has_no_values_inside() -> None:
    network = Holds(Wrapped(torch.ones(4, 8), torch.ones(4, 8)))
    with isolated(network):
        assert network.weight.first.is_meta  # type: ignore[attr-defined]
        assert network.weight.is_meta


@pytest.mark.parametrize("measure", [trace, verify, fits])
def test_what_cannot_be_copied_is_refused_untouched(measure: Any) -> None:
    network = Holds(Sealed(torch.ones(4, 8), torch.ones(4, 8)))
    before = [(name, id(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()]
    with pytest.raises(
        InputError, match=r"^weight \(class .*Sealed, shape \(4, 8\)\) can't be copied .*sealed.* trace the"
    ):
        measure(network, [(2, 8)])
    assert [(name, id(tensor)) for name, tensor in network.state_dict(keep_vars=True).items()] == before
    assert network(torch.ones(2, 8)).shape == (2, 4)


def test_attributes_of_a_usual_parameter() -> None:
    class Asks(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.weight.factor  # type: ignore[attr-defined,no-any-return]

    network = Asks(8, 4)
    network.weight.factor = 2.0  # type: ignore[attr-defined]
    assert trace(network, [(2, 8)]).totals.macs == 64
    pretended_step(network, arguments([(2, 8)], network, (), None), "sgd", "fp32")
    assert vars(network.weight) == {"factor": 2.0}


def test_a_view_of_a_parameter_is_where_the_parameter_is() -> None:
    class Views(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            self.weight.data = self.transposed.t()  # type: ignore[operator]
            return super().forward(x)

    network = Views(8, 4)
    network.transposed = network.weight.detach().t()
    weight, values = network.weight, network.weight.tolist()
    assert trace(network, [(2, 8)]).totals.macs == 64
    assert network.weight is weight
    assert weight.tolist() == values


def test_a_buffer_with_a_gradient_from_an_earlier_run() -> None:
    class Remembers(nn.Linear):
        last: Tensor

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            self.last.copy_(out)
            return out

    network = Remembers(8, 4)
    network.register_buffer("last", torch.zeros(2, 4))
    network(torch.ones(2, 8))
    last = network.last
    assert last.requires_grad
    before = last.tolist()
    for columns in ((), ("saved",)):
        assert trace(network, [(2, 8)], columns=columns).totals.macs == 64
    assert network.last is last
    assert last.tolist() == before
    assert last.grad_fn is not None


def test_a_constant_that_is_learnt_keeps_its_gradient() -> None:
    class Scales(nn.Linear):
        scale: Tensor

        def forward(self, x: Tensor) -> Tensor:
            assert self.scale.requires_grad
            return super().forward(x) * self.scale

    network = Scales(8, 4)
    network.scale = torch.ones(4, requires_grad=True)
    scale = network.scale
    trace(network, [(2, 8)], columns=["saved"])
    with isolated(network):
        assert network.scale is not scale
    assert network.scale is scale


@pytest.fixture
def group() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
@pytest.mark.parametrize("ran_before", [False, True])
@pytest.mark.usefixtures("group")
def test_a_sharded_network_is_refused_and_runs_afterwards(ran_before: bool) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    network = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    x = torch.randn(2, 8)
    expected = network(x)
    mesh = init_device_mesh("cpu", (1,))
    fully_shard(network[2], mesh=mesh)
    if ran_before:
        network(x)
    parameters = [id(parameter) for parameter in network.parameters()]
    for measure in (trace, fits):
        with pytest.raises(InputError, match=r"^2 is sharded over processes .*expected a network that is whole"):
            measure(network, [(2, 8)])
    assert [id(parameter) for parameter in network.parameters()] == parameters
    out = network(x)
    assert torch.equal(out, expected)
    out.sum().backward()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
@pytest.mark.usefixtures("group")
def test_a_distributed_tensor_is_refused() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor

    network: Any = nn.Sequential(nn.Linear(8, 4))
    mesh = init_device_mesh("cpu", (1,))
    weight = distribute_tensor(network[0].weight.data, mesh, [Replicate()])
    network[0].weight = nn.Parameter(weight)
    held = network[0].weight
    with pytest.raises(
        InputError, match=r"^0\.weight is sharded over processes \(torch\.distributed\.tensor\.DTensor\)"
    ):
        trace(network, [(2, 8)])
    assert network[0].weight is held


def test_a_failure_leaves_a_class_of_ones_own() -> None:
    network = ScaledLinear()
    weight = network.weight
    with pytest.raises(ForwardError):
        trace(network, [(2, 9)])
    assert network.weight is weight
    assert not hasattr(weight, "_archlab")
