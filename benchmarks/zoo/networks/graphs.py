"""Networks on graphs, fields and the rotation group: torch_geometric, neuraloperator, e3nn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.entry import Entry, Inputs, library, noise, of


def edges(nodes: int = 30, count: int = 90) -> Tensor:
    """Which nodes are joined: sources above targets."""
    return torch.randint(0, nodes, (2, count))


def graph(name: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of torch_geometric."""
    return Entry("torch_geometric", name, of(f"torch_geometric.nn:{name}", **options), inputs)


def nodes_and_edges() -> Inputs:
    """Thirty nodes of sixteen features, and ninety edges."""
    return [torch.randn(30, 16), edges()]


def batch_of_graphs() -> Inputs:
    """The same as two graphs of fifteen nodes, with the features of the edges."""
    return {
        "x": torch.randn(30, 16),
        "edge_index": edges(15),
        "edge_attr": torch.randn(90, 4),
        "batch": torch.arange(2).repeat_interleave(15),
    }


SIZES = {"in_channels": 16, "hidden_channels": 32, "num_layers": 2, "out_channels": 4}


GRAPHS = [
    graph("GCN", nodes_and_edges, **SIZES),
    graph("GAT", nodes_and_edges, heads=4, **SIZES),
    graph("GraphSAGE", nodes_and_edges, **SIZES),
    graph("GIN", nodes_and_edges, **SIZES),
    graph(
        "PNA",
        nodes_and_edges,
        aggregators=["mean", "max", "std"],
        scalers=["identity", "amplification"],
        deg=torch.tensor([0, 5, 10, 15]),
        **SIZES,
    ),
    graph("EdgeCNN", nodes_and_edges, **SIZES),
    graph("AttentiveFP", batch_of_graphs, edge_dim=4, num_timesteps=2, **SIZES),
    graph("GraphUNet", nodes_and_edges, depth=2, in_channels=16, hidden_channels=32, out_channels=4),
    graph("TransformerConv", nodes_and_edges, in_channels=16, out_channels=8, heads=4),
    graph("GPSConv", nodes_and_edges, channels=16, conv=None, heads=4),
    graph(
        "RGCNConv",
        lambda: [torch.randn(30, 16), edges(), torch.randint(0, 3, (90,))],
        in_channels=16,
        out_channels=8,
        num_relations=3,
    ),
    graph("ChebConv", nodes_and_edges, in_channels=16, out_channels=8, K=3),
    graph("GatedGraphConv", nodes_and_edges, out_channels=16, num_layers=2),
    graph(
        "NNConv",
        lambda: [torch.randn(30, 16), edges(), torch.randn(90, 4)],
        in_channels=16,
        out_channels=8,
        nn=nn.Linear(4, 128),
    ),
    graph("LightGCN", lambda: [edges()], num_nodes=30, embedding_dim=16, num_layers=2),
    graph(
        "SGFormer",
        lambda: [torch.randn(30, 16), edges(), torch.zeros(30, dtype=torch.int64)],
        in_channels=16,
        hidden_channels=32,
        out_channels=4,
    ),
    graph(
        "PMLP", lambda: [torch.randn(30, 16), edges()], in_channels=16, hidden_channels=32, out_channels=4, num_layers=2
    ),
    graph("NeuralFingerprint", nodes_and_edges, **SIZES),
]


def functions(name: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of neuraloperator: its class, and behind a comma what is special about it."""
    return Entry("neuralop", name, of(f"neuralop.models:{name.partition(',')[0]}", **options), inputs)


FIELD = noise((2, 3, 16, 16))


NEURALOP = [
    functions("FNO", FIELD, n_modes=(8, 8), in_channels=3, out_channels=1, hidden_channels=16, n_layers=2),
    functions(
        "TFNO, Tucker",
        FIELD,
        n_modes=(8, 8),
        in_channels=3,
        out_channels=1,
        hidden_channels=16,
        n_layers=2,
        rank=0.2,
        factorization="tucker",
    ),
    functions(
        "TFNO, CP",
        FIELD,
        n_modes=(8, 8),
        in_channels=3,
        out_channels=1,
        hidden_channels=16,
        n_layers=2,
        rank=0.5,
        factorization="cp",
        implementation="factorized",
    ),
    functions(
        "UNO",
        FIELD,
        in_channels=3,
        out_channels=1,
        hidden_channels=16,
        n_layers=3,
        uno_out_channels=[16, 16, 16],
        uno_n_modes=[[4, 4]] * 3,
        uno_scalings=[[1.0, 1.0], [0.5, 0.5], [2.0, 2.0]],
        channel_mlp_skip="linear",
    ),
    functions(
        "FNO, volumes",
        noise((2, 3, 8, 8, 8)),
        n_modes=(4, 4, 4),
        in_channels=3,
        out_channels=1,
        hidden_channels=8,
        n_layers=2,
    ),
]


class Tensors(nn.Module):
    """Features of the rotation group mixed by spherical harmonics of directions, as e3nn's own networks do."""

    def __init__(self) -> None:
        super().__init__()
        e3nn, neural = library("e3nn.o3"), library("e3nn.nn")
        self.product = e3nn.FullyConnectedTensorProduct(
            "8x0e+4x1o", "1x0e+1x1o+1x2e", "8x0e+4x1o+2x2e", shared_weights=False
        )
        self.weights = neural.FullyConnectedNet([4, 16, self.product.weight_numel], torch.nn.functional.silu)
        self.mix = e3nn.Linear("8x0e+4x1o+2x2e", "4x0e")
        self.harmonics = e3nn.SphericalHarmonics("1x0e+1x1o+1x2e", normalize=True)

    def forward(self, x: Tensor, directions: Tensor, lengths: Tensor) -> Tensor:
        """(edges, 20), (edges, 3), (edges, 4) to (edges, 4)."""
        mixed: Tensor = self.mix(self.product(x, self.harmonics(directions), self.weights(lengths)))
        return mixed


E3NN = [
    Entry("e3nn", "tensor product", Tensors, noise((20, 20), (20, 3), (20, 4))),
    Entry("e3nn", "Linear", of("e3nn.o3:Linear", "8x0e+4x1o", "4x0e+4x1o"), noise((20, 20))),
    Entry(
        "e3nn",
        "VoxelConvolution",
        of(
            "e3nn.nn.models.v2104.voxel_convolution:Convolution",
            "2x0e+1x1o",
            "2x0e+1x1o",
            irreps_sh="1x0e+1x1o",
            diameter=5.0,
            num_radial_basis=3,
            steps=(1.0, 1.0, 1.0),
        ),
        noise((1, 5, 8, 8, 8)),
    ),
]

ENTRIES: list[Entry] = [*GRAPHS, *NEURALOP, *E3NN]
