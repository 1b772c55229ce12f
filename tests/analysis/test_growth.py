from __future__ import annotations

from dataclasses import replace

from archlab.analysis.growth import stages
from archlab.records import Growth, Layer
from tests.traces import layer, trace


def images(path: str, kind: str, channels: int, size: int, **fields: int) -> object:
    return layer(path, kind, output_shapes=((1, channels, size, size),), **fields)


NETWORK = trace(
    images("conv", "Conv2d", 64, 48, parameters=640),  # type: ignore[arg-type]
    images("norm", "BatchNorm2d", 64, 48, parameters=128),  # type: ignore[arg-type]
    images("pool", "MaxPool2d", 64, 24),  # type: ignore[arg-type]
    images("block_0", "Block", 64, 24, parameters=300, macs=9),  # type: ignore[arg-type]
    images("block_0.conv_1", "Conv2d", 32, 24, parameters=100, macs=4),  # type: ignore[arg-type]
    images("block_0.conv_2", "Conv2d", 64, 24, parameters=200, macs=5),  # type: ignore[arg-type]
    images("relu", "ReLU", 64, 24),  # type: ignore[arg-type]
    layer("unused", call=0),
    layer("head", parameters=50, output_shapes=((1, 10),)),
)


def test_layers_of_one_shape_are_a_stage_and_blocks_stand_alone() -> None:
    grown = stages(NETWORK)
    assert [(stage.paths, stage.channels, stage.spatial, stage.parameters) for stage in grown.stages] == [
        (("conv", "norm"), 64, (48, 48), 768),  # 640 + 128
        (("pool",), 64, (24, 24), 0),
        (("block_0",), 64, (24, 24), 300),
        (("relu",), 64, (24, 24), 0),
        (("head",), 10, (), 50),
    ]
    assert Growth.from_json(grown.to_json()) == grown


def test_a_depth_opens_the_blocks() -> None:
    assert [stage.paths for stage in stages(NETWORK, None).stages] == [
        ("conv", "norm"),
        ("pool",),
        ("block_0.conv_1",),
        ("block_0.conv_2", "relu"),
        ("head",),
    ]


def test_every_parameter_is_in_a_stage() -> None:
    for depth in (1, 2, None):
        assert sum(stage.parameters for stage in stages(NETWORK, depth).stages) == NETWORK.totals.parameters


def test_a_dense_block_says_what_it_is_put_together_of() -> None:
    def rows(blocks: int) -> list[Layer]:
        found = [layer("stem", "Conv2d", input_shapes=((1, 3, 8, 8),), output_shapes=((1, 64, 8, 8),), parameters=1)]
        whole = 64 + 32 * blocks
        found.append(layer("dense", "Dense", output_shapes=((1, whole, 8, 8),), parameters=blocks))
        joined = 0
        for place in range(blocks):
            width, at = 64 + 32 * place, len(found)
            found.append(
                layer(f"dense.{place}", "Conv2d", output_shapes=((1, 32, 8, 8),), parameters=1, inputs=(joined,))
            )
            shapes = ((1, width, 8, 8), (1, 32, 8, 8))
            joint = layer(f"dense.cat_{place}", "cat", input_shapes=shapes, output_shapes=((1, width + 32, 8, 8),))
            found.append(replace(joint, inputs=(joined, at), operation=True))
            joined = at + 1
        return found

    grown = stages(trace(*rows(3)))
    assert [stage.parts for stage in grown.stages] == [(), (64, 32, 32, 32)]  # 160 channels
    assert Growth.from_json(grown.to_json()) == grown
    *others, last = rows(3)
    unknown = replace(last, inputs=(0,))  # where one of its parts came from isn't known
    assert stages(trace(*others, unknown)).stages[1].parts == ()
