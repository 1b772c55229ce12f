"""BatchNorm replaced in any network: what stands there, what is carried over, what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import densenet121, mobilenet_v3_small, resnet18

from archlab.errors import InputError
from archlab.networks.batchnorm import BatchNorm
from archlab.networks.surgery import replace_norms
from archlab.networks.surgery.norms import BatchNormAnyRank, FrozenBatchNorm
from tests.networks.test_surgery_folding import Branching, Functional, perturbed

KINDS = ("off", "group", "layer", "instance", "scratch", "frozen", "batch")
NORMS = (nn.modules.batchnorm._BatchNorm, BatchNorm)


def small(bias: bool = False) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU())


@pytest.mark.parametrize(
    ("to", "kind", "parameters"),
    [
        ("off", nn.Identity, 8 * 2 * 9 + 8),  # the weight, and the bias that it gets
        ("group", nn.GroupNorm, 8 * 2 * 9 + 2 * 8),
        ("layer", nn.GroupNorm, 8 * 2 * 9 + 2 * 8),
        ("instance", nn.InstanceNorm2d, 8 * 2 * 9 + 2 * 8),
        ("scratch", BatchNorm, 8 * 2 * 9 + 2 * 8),
        ("frozen", FrozenBatchNorm, 8 * 2 * 9),
        ("batch", nn.BatchNorm2d, 8 * 2 * 9 + 2 * 8),
    ],
)
def test_what_stands_in_the_place(to: str, kind: type[nn.Module], parameters: int) -> None:
    network = perturbed(small())
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    changed, record = replace_norms(network, to)
    new = changed.get_submodule("1")
    assert type(new) is kind
    assert record.parameters == (8 * 2 * 9 + 2 * 8, parameters)
    assert record.biases == (("0",) if to == "off" else ())
    assert torch.equal(changed.get_parameter("0.weight"), before["0.weight"])
    if to != "off":
        assert torch.equal(cast(Tensor, new.weight), before["1.weight"])
        assert torch.equal(cast(Tensor, new.bias), before["1.bias"])
    assert changed(torch.randn(2, 2, 6, 6)).shape == (2, 8, 6, 6)
    assert {name: tensor.equal(before[name]) for name, tensor in network.state_dict().items()} == dict.fromkeys(
        before, True
    )


@pytest.mark.parametrize("to", ["scratch", "frozen", "batch"])
@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ((nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, eps=1e-2, momentum=0.3)), (3, 2, 6, 6)),
        ((nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (3, 2, 9)),
        ((nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4)), (3, 2, 5, 5, 5)),
        ((nn.Linear(5, 4), nn.BatchNorm1d(4)), (3, 5)),
        ((nn.Conv2d(2, 4, 3), nn.SyncBatchNorm(4)), (3, 2, 6, 6)),
        ((nn.Conv2d(2, 4, 3), BatchNorm(4, momentum=0.7)), (3, 2, 6, 6)),
        ((nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)), (3, 2, 6, 6)),
    ],
    ids=["maps", "signal", "volume", "vector", "synchronised", "archlab's", "not affine"],
)
def test_what_keeps_the_statistics_gives_the_same_in_evaluation(
    to: str, layers: tuple[nn.Module, ...], shape: tuple[int, ...]
) -> None:
    network = perturbed(nn.Sequential(*layers))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(replace_norms(network, to)[0](x), network(x), rtol=1e-5, atol=1e-5)


def test_resnet18_from_scratch_gives_the_same_logits() -> None:
    network = perturbed(resnet18())
    changed, record = replace_norms(network, "scratch")
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(x)
        assert float((changed(x) - expected).abs().max() / expected.abs().max()) < 1e-5
    assert len(record.done) == 20
    assert list(changed.state_dict()) == list(network.state_dict())


def test_momentum_is_carried_over_in_either_convention() -> None:
    ours = replace_norms(nn.Sequential(nn.BatchNorm2d(4, momentum=0.3)), "scratch")[0].get_submodule("0")
    assert cast(Any, ours).momentum == pytest.approx(0.7)  # of the old average; torch's is of the new value
    torchs = replace_norms(nn.Sequential(BatchNorm(4, momentum=0.7)), "batch")[0].get_submodule("0")
    assert cast(Any, torchs).momentum == pytest.approx(0.3)
    _, record = replace_norms(nn.Sequential(nn.BatchNorm2d(4, momentum=None)), "scratch")
    assert "cumulative average" in record.cuts[0].reason


def test_training_moves_nothing_of_a_frozen_layer() -> None:
    network, _ = replace_norms(perturbed(small()), "frozen")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()(torch.randn(4, 2, 6, 6)).sum().backward()
    assert [name for name, _ in network.named_parameters()] == ["0.weight"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_any_rank_equals_torch_in_training_too() -> None:
    theirs, ours = nn.BatchNorm3d(4), BatchNormAnyRank(4)
    x = torch.randn(3, 4, 2, 3, 5)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)


@pytest.mark.parametrize(
    ("channels", "groups", "taken", "said"),
    [
        (64, None, 32, ""),
        (24, None, 12, ""),  # the most below 32 that leave two channels to a group
        (24, 8, 8, ""),
        (24, 16, 12, "16 groups do not divide 24 channels: 12 do"),
        (7, 4, 1, "4 groups do not divide 7 channels: 1 do"),
    ],
)
def test_groups_that_do_not_divide_become_the_nearest_that_do(
    channels: int, groups: int | None, taken: int, said: str
) -> None:
    network = nn.Sequential(nn.Conv2d(1, channels, 1), nn.BatchNorm2d(channels))
    changed, record = replace_norms(network, "group", groups=groups)
    assert cast(nn.GroupNorm, changed.get_submodule("1")).num_groups == taken
    assert record.cuts[0].reason == said


def test_vectors_keep_two_values_to_a_group_and_have_no_instance_normalisation() -> None:
    network = nn.Sequential(nn.Linear(3, 8, bias=False), nn.BatchNorm1d(8))
    changed, record = replace_norms(network, "group", groups=8)
    assert cast(nn.GroupNorm, changed.get_submodule("1")).num_groups == 4
    assert record.cuts[0].reason == "8 groups leave one value to a group of 8 channels: 4 do"
    changed, record = replace_norms(network, "instance")
    assert isinstance(changed.get_submodule("1"), nn.Identity)
    assert record.biases == ("0",)
    assert record.cuts[0].reason == "a vector has one value per channel: no layer"


@pytest.mark.parametrize(
    ("make", "biases", "why"),
    [
        (lambda: small(bias=True), 0, ""),
        (lambda: Functional(torch.relu), 0, "relu comes before it"),
        (lambda: Functional(twice=True), 0, "what the Conv2d before it gives is taken 2 times"),
    ],
    ids=["has one", "between", "twice"],
)
def test_a_bias_is_added_only_where_the_layer_alone_feeds_it(
    make: Callable[[], nn.Module], biases: int, why: str
) -> None:
    _, record = replace_norms(make(), "off")
    assert len(record.biases) == biases
    assert why in record.cuts[0].reason


@pytest.mark.parametrize(
    ("make", "layers", "biases"),
    [
        (resnet18, 20, 20),
        (mobilenet_v3_small, 34, 34),
        # 121 layers: the first one and the second of each of 58 dense layers come behind a convolution.
        (densenet121, 121, 59),
    ],
)
def test_networks_of_torchvision_lose_their_batchnorm(make: Callable[[], nn.Module], layers: int, biases: int) -> None:
    network = make()
    changed, record = replace_norms(network, "off")
    assert (len(record.done), len(record.biases)) == (layers, biases)
    assert not [module for module in changed.modules() if isinstance(module, NORMS)]
    assert all(not changed.get_parameter(f"{path}.bias").any() for path in record.biases)
    kept = {name for name, _ in network.named_parameters()} & {name for name, _ in changed.named_parameters()}
    assert all(torch.equal(network.get_parameter(name), changed.get_parameter(name)) for name in kept)


def test_without_values_it_is_the_same() -> None:
    with torch.device("meta"):
        network = small()
    for to in KINDS:
        changed, _ = replace_norms(network, to)
        assert all(tensor.is_meta for tensor in changed.state_dict().values())


def test_a_network_that_is_one_layer() -> None:
    changed, record = replace_norms(nn.BatchNorm2d(4), "layer")
    assert isinstance(changed, nn.GroupNorm)
    assert len(record.done) == 1


def test_inputs_say_what_fx_cannot() -> None:
    _, record = replace_norms(Branching(), "off")
    assert record.biases == ()
    assert "What feeds what isn't known" in record.notes[0]
    network = Branching()
    cast(nn.Conv2d, network.body[0]).bias = None
    assert replace_norms(network, "off", inputs=(1, 1, 6, 6))[1].biases == ("body.0",)


class Doubled(nn.BatchNorm2d):
    """BatchNorm with a forward of its own."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("network", "to", "chosen", "says"),
    [
        (nn.Sequential(nn.LayerNorm(4)), "off", {}, "Sequential has no BatchNorm layer.*normalisations are LayerNorm"),
        (small(), "bath", {}, "to be replaced by 'bath', expected one of off, batch, scratch"),
        (small(), "layer", {"groups": 4}, "groups is 4 for layer, expected 1 or more, for group alone"),
        (small(), "group", {"groups": 0}, "groups is 0 for group, expected 1 or more"),
        (nn.Sequential(Doubled(4)), "off", {}, r"norm=none can replace no.*0 \(Doubled\), Doubled has a forward of"),
        (
            nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)),
            "frozen",
            {},
            "keeps no running statistics to be frozen at",
        ),
        (nn.Sequential(nn.BatchNorm1d(4)), "instance", {}, "0 may take vectors or maps.*give inputs"),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)),
            "instance",
            {"inputs": (1, 2, 3, 3)},
            "1 takes maps of one position .1x4x1x1.*larger images",
        ),
    ],
)
def test_what_can_not_be_replaced_is_refused(network: nn.Module, to: str, chosen: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        replace_norms(network, to, **chosen)


def test_the_record_prints_as_a_table() -> None:
    text = str(replace_norms(small(), "off")[1])
    assert "Sequential: normalisation replaced by none" in text
    assert "1 layer given a bias: 0." in text
