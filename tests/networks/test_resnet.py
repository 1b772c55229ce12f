import pytest
import torch
import torchvision.models
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.errors import SourceError
from archlab.networks import build, resolve
from archlab.networks.resnet import ResNet
from tests.networks.counting import buffers, macs, parameters, rows


def test_is_the_course_s_table() -> None:
    assert list(rows(build("resnet"), 1, 224, 224)) == [
        ("conv", (64, 112, 112), 3_200),  # 64 * (7 * 7 + 1)
        ("norm", (64, 112, 112), 128),
        ("relu", (64, 112, 112), 0),
        ("maxpool", (64, 56, 56), 0),
        ("stage_1", (64, 56, 56), 148_224),  # 4 * (64 * (64 * 9 + 1) + 2 * 64)
        # 128 * (64 * 9 + 1) + 3 * 128 * (128 * 9 + 1) + 4 * 2 * 128 + 128 * (64 + 1)
        ("stage_2", (128, 28, 28), 525_952),
        ("stage_3", (256, 14, 14), 2_100_480),
        ("stage_4", (512, 7, 7), 8_395_264),
        ("pool", (512, 1, 1), 0),
        ("linear", (10,), 5_130),  # 10 * (512 + 1)
    ]


@pytest.mark.parametrize(("size", "expected"), [(224, 1_734_890_496), (96, 318_657_536)])
def test_counts_of_the_course(size: int, expected: int) -> None:
    network = resolve("resnet", {}).build("meta")
    # 3200 + 128 + 148224 + 525952 + 2100480 + 8395264 + 5130
    assert parameters(network) == 11_178_378
    # 2 * 64 * 5 + 2 * 4 * (128 + 256 + 512) = 7808 statistics, 1 + 4 * 4 = 17 counters
    assert buffers(network) == 7_825
    assert macs(network, 1, 1, size, size) == expected


def test_without_normalisation_its_rows_vanish() -> None:
    names = [name for name, _ in resolve("resnet", {"norm": "none"}).build("meta").named_modules()]
    assert not [name for name in names if "norm" in name]
    assert "stage_2.0.conv_2" in names


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_equals_torchvision(depth: int) -> None:
    mine = resolve(f"resnet{depth}", {}).build("meta")
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"resnet{depth}", weights=None)
    assert parameters(mine) == parameters(theirs)
    assert buffers(mine) == buffers(theirs)
    assert sorted(p.shape for p in mine.parameters()) == sorted(p.shape for p in theirs.parameters())
    if depth in (18, 50):
        assert macs(mine, 1, 3, 224, 224) == macs(theirs, 1, 3, 224, 224)


@pytest.mark.parametrize(
    ("name", "published", "exact"),
    [
        # stem 16 * 27 + 32; first stage 2n * (16 * 16 * 9 + 32); each later one its halves; linear 10 * (64 + 1).
        # n = 3: 464 + 14016 + (4608 + 5 * 9216 + 6 * 64) + (18432 + 5 * 36864 + 6 * 128) + 650 = 269722
        ("resnet20", "0.27M", 269_722),
        ("resnet32", "0.46M", 464_154),
        ("resnet44", "0.66M", 658_586),
        ("resnet56", "0.85M", 853_018),
        ("resnet110", "1.7M", 1_727_962),
        ("plain20", "0.27M", 269_722),
        ("plain56", "0.85M", 853_018),
    ],
)
def test_published_counts(name: str, published: str, exact: int) -> None:
    count = parameters(resolve(name, {}).build("meta"))
    assert count == exact
    decimals = len(published.split(".")[1]) - 1
    assert f"{count / 1e6:.{decimals}f}M" == published


@settings(deadline=None, max_examples=10)
@given(
    blocks=st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    width=st.sampled_from([4, 6, 8]),
    bottleneck=st.sampled_from(["on", "off"]),
    shortcut=st.sampled_from(["conv", "conv-norm", "pad"]),
    norm=st.sampled_from(["batch", "none"]),
)
def test_the_plain_network_has_the_parameters_outside_the_shortcuts(
    blocks: tuple[int, ...], width: int, bottleneck: str, shortcut: str, norm: str
) -> None:
    networks = {}
    with torch.device("meta"):
        for skip in ("on", "off"):
            networks[skip] = ResNet(
                blocks=blocks,
                width=width,
                bottleneck=bottleneck,  # type: ignore[arg-type]
                shortcut=shortcut,  # type: ignore[arg-type]
                norm=norm,  # type: ignore[arg-type]
                skip=skip,
            )
    named = {name: p.shape for name, p in networks["on"].named_parameters() if ".shortcut." not in name}
    assert named == {name: p.shape for name, p in networks["off"].named_parameters()}
    if shortcut == "pad":
        assert parameters(networks["on"]) == parameters(networks["off"])
    x = torch.empty(2, 1, 64, 64, device="meta")
    assert networks["on"](x).shape == networks["off"](x).shape == (2, 10)


@pytest.mark.parametrize(("depth", "tried"), [(21, "try 20 or 26"), (2, "try 8 or 14"), (-3, "try 8 or 14")])
def test_an_impossible_depth_is_refused(depth: int, tried: str) -> None:
    with pytest.raises(SourceError, match=tried):
        build("resnet20", depth=depth)
