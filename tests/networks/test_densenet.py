import pytest
import torch
import torchvision.models
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.errors import SourceError
from archlab.networks import build, resolve
from archlab.networks.densenet import DenseNet
from tests.networks.counting import buffers, macs, parameters, rows


def test_is_the_course_s_table() -> None:
    assert list(rows(build("densenet"), 1, 96, 96)) == [
        ("conv", (64, 48, 48), 3_200),  # 64 * (7 * 7 + 1)
        ("norm", (64, 48, 48), 128),
        ("relu", (64, 48, 48), 0),
        ("maxpool", (64, 24, 24), 0),
        # channels in 64, 96, 128, 160: their sum 448 * (32 * 9 + 2) + 4 * 32
        ("dense_block_0", (192, 24, 24), 130_048),
        ("transition_0", (96, 12, 12), 18_912),  # 192 * 96 + 96 + 2 * 192
        ("dense_block_1", (224, 12, 12), 167_168),  # (96 + 128 + 160 + 192) * 290 + 128
        ("transition_1", (112, 6, 6), 25_648),  # 224 * 112 + 112 + 2 * 224
        ("dense_block_2", (240, 6, 6), 185_728),  # (112 + 144 + 176 + 208) * 290 + 128
        ("transition_2", (120, 3, 3), 29_400),  # 240 * 120 + 120 + 2 * 240
        ("dense_block_3", (248, 3, 3), 195_008),  # (120 + 152 + 184 + 216) * 290 + 128
        ("final_norm", (248, 3, 3), 496),
        ("final_relu", (248, 3, 3), 0),
        ("pool", (248, 1, 1), 0),
        ("linear", (10,), 2_490),  # 10 * (248 + 1)
    ]


def test_counts_of_the_course() -> None:
    network = resolve("densenet", {}).build("meta")
    # 3200 + 128 + 130048 + 18912 + 167168 + 25648 + 185728 + 29400 + 195008 + 496 + 2490
    assert parameters(network) == 758_226
    # 2 * (64 + 448 + 192 + 576 + 224 + 640 + 240 + 672 + 248) = 6608 statistics, 1 + 4 * 4 + 3 + 1 = 21 counters
    assert buffers(network) == 6_629
    # 7225344 + 74317824 + 10616832 + 23887872 + 3612672 + 6635520 + 1036800 + 1741824 + 2480
    assert macs(network, 1, 1, 96, 96) == 129_077_168


@pytest.mark.parametrize("depth", [121, 161, 169, 201])
def test_equals_torchvision(depth: int) -> None:
    mine = resolve(f"densenet{depth}", {}).build("meta")
    with torch.device("meta"):
        theirs = torchvision.models.get_model(f"densenet{depth}", weights=None)
    assert parameters(mine) == parameters(theirs)
    assert buffers(mine) == buffers(theirs)
    assert sorted(p.shape for p in mine.parameters()) == sorted(p.shape for p in theirs.parameters())


def test_macs_equal_torchvision() -> None:
    with torch.device("meta"):
        theirs = torchvision.models.densenet121(weights=None)
    assert macs(resolve("densenet121", {}).build("meta"), 1, 3, 224, 224) == macs(theirs, 1, 3, 224, 224)


@pytest.mark.parametrize(
    ("name", "published", "exact"),
    [
        ("densenet-40-12", "1.0M", 1_019_722),
        ("densenet-100-12", "7.0M", 6_979_642),
        ("densenet-bc-100-12", "0.8M", 769_162),
        ("densenet-bc-190-40", "25.6M", 25_624_430),
    ],
)
def test_published_counts(name: str, published: str, exact: int) -> None:
    count = parameters(resolve(name, {}).build("meta"))
    assert count == exact
    assert f"{count / 1e6:.1f}M" == published


@settings(deadline=None, max_examples=15)
@given(
    blocks=st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple),
    width=st.integers(2, 9),
    growth_rate=st.integers(2, 6),
    compression=st.sampled_from([0.5, 0.7, 1.0]),
    skip=st.sampled_from(["on", "off"]),
)
def test_channel_arithmetic(
    blocks: tuple[int, ...], width: int, growth_rate: int, compression: float, skip: str
) -> None:
    with torch.device("meta"):
        network = DenseNet(
            blocks=blocks,
            width=width,
            growth_rate=growth_rate,
            compression=compression,
            stem="3x3",
            skip=skip,  # type: ignore[arg-type]
        )
    channels = width
    x = torch.empty(2, width, 16, 16, device="meta")
    for number, layers in enumerate(blocks):
        channels = channels + layers * growth_rate if skip == "on" else growth_rate
        x = network.get_submodule(f"dense_block_{number}")(x)
        assert x.shape[1] == channels
        if number < len(blocks) - 1:
            channels = int(channels * compression)
            x = network.get_submodule(f"transition_{number}")(x)
            assert x.shape[1] == channels
    assert network(torch.empty(2, 1, 16, 16, device="meta")).shape == (2, 10)


def test_without_skips_nothing_is_concatenated() -> None:
    table = list(rows(build("densenet", skip="off"), 1, 96, 96))
    channels = [shape[0] for name, shape, _ in table if name.startswith(("dense", "transition"))]
    assert channels == [32, 16, 32, 16, 32, 16, 32]
    assert table[-1] == ("linear", (10,), 330)  # 10 * (32 + 1)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("densenet-40-12", {"depth": 41}, "expected 3n \\+ 4: try 40 or 43"),
        ("densenet-bc-100-12", {"depth": 101}, "expected 6n \\+ 4: try 100 or 106"),
        ("densenet", {"compression": 1.5}, "compression=1.5, expected above 0 and up to 1"),
        ("densenet", {"compression": 0.001}, "transition .* out_channels=0"),
    ],
)
def test_impossible_numbers_are_refused(name: str, options: dict[str, float], words: str) -> None:
    with pytest.raises(SourceError, match=words):
        build(name, **options)
