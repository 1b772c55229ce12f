import pytest
import torch
from torch import nn

from archlab.errors import InputError
from archlab.networks import build
from archlab.networks.batchnorm import BatchNorm
from archlab.networks.lenet import LeNet
from tests.networks.counting import buffers, macs, parameters, rows

TABLE = [
    ("conv_1", (6, 24, 24), 156),  # 6 * (1 * 5 * 5 + 1)
    ("norm_1", (6, 24, 24), 12),  # 2 * 6
    ("sigmoid_1", (6, 24, 24), 0),
    ("pool_1", (6, 12, 12), 0),
    ("conv_2", (16, 8, 8), 2416),  # 16 * (6 * 5 * 5 + 1)
    ("norm_2", (16, 8, 8), 32),  # 2 * 16
    ("sigmoid_2", (16, 8, 8), 0),
    ("pool_2", (16, 4, 4), 0),
    ("flatten", (256,), 0),  # 16 * 4 * 4
    ("linear_1", (120,), 30840),  # 120 * (256 + 1)
    ("norm_3", (120,), 240),  # 2 * 120
    ("sigmoid_3", (120,), 0),
    ("linear_2", (84,), 10164),  # 84 * (120 + 1)
    ("norm_4", (84,), 168),  # 2 * 84
    ("sigmoid_4", (84,), 0),
    ("linear_3", (10,), 850),  # 10 * (84 + 1)
]


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_is_the_course_s_table(norm: str) -> None:
    assert list(rows(build("lenet", norm=norm), 1, 28, 28)) == TABLE


def test_without_normalisation_its_rows_vanish() -> None:
    expected = [row for row in TABLE if not row[0].startswith("norm")]
    assert list(rows(build("lenet", norm="none"), 1, 28, 28)) == expected


@pytest.mark.parametrize(
    ("norm", "weights", "state"),
    [
        ("none", 44_426, 0),  # 156 + 2416 + 30840 + 10164 + 850
        # 44426 + 2 * (6 + 16 + 120 + 84) = 44426 + 452; the same 452 statistics and 4 counters
        ("batch", 44_878, 456),
        ("scratch", 44_878, 456),
        ("group", 44_878, 0),
        ("layer", 44_878, 0),
        ("instance", 44_470, 0),  # 44426 + 2 * (6 + 16): a vector has no instance to normalise
    ],
)
def test_counts(norm: str, weights: int, state: int) -> None:
    network = build("lenet", norm=norm)
    assert (parameters(network), buffers(network)) == (weights, state)
    # 6 * 25 * 24^2 + 16 * 150 * 8^2 + 256 * 120 + 120 * 84 + 84 * 10 = 86400 + 153600 + 30720 + 10080 + 840
    assert macs(network, 1, 1, 28, 28) == 281_640


def test_scratch_is_the_same_network() -> None:
    concise, scratch = build("lenet").double(), build("lenet", norm="scratch").double()
    scratch.load_state_dict(concise.state_dict())
    assert sum(isinstance(layer, BatchNorm) for layer in scratch.modules()) == 4
    assert sum(isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) for layer in concise.modules()) == 4
    x = torch.randn(8, 1, 28, 28, dtype=torch.float64)
    torch.testing.assert_close(scratch(x), concise(x), rtol=1e-10, atol=1e-10)


def test_rows_are_named_after_the_activation() -> None:
    network = build("lenet", activation="relu")
    assert [name for name, _ in network.named_children()][:4] == ["conv_1", "norm_1", "relu_1", "pool_1"]
    assert isinstance(network.get_submodule("relu_4"), nn.ReLU)


def test_takes_other_images() -> None:
    network = LeNet(in_channels=3, classes=7, size=32, width=0.5)
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    # round(0.5 * 16) = 8 channels of ((32 - 4) / 2 - 4) / 2 = 5 a side: 8 * 25
    linear = network.get_submodule("linear_1")
    assert isinstance(linear, nn.Linear)
    assert (linear.in_features, linear.out_features) == (200, 60)


def test_a_slice_is_a_sequence_of_its_layers() -> None:
    network = LeNet()
    assert [name for name, _ in network[:3].named_children()] == ["conv_1", "norm_1", "sigmoid_1"]
    assert network[0] is network.get_submodule("conv_1")


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 12}, "size=12, expected 16 or more"), ({"classes": 0}, "classes=0, expected above 0")],
)
def test_impossible_sizes_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        LeNet(**options)  # type: ignore[arg-type]
