"""Networks that hear, that work on graphs and functions, that keep a state, and that spike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.zoo.entry import Entry, Inputs, ids, library, named, noise, of


def lengths(*sizes: int) -> Tensor:
    """How long each recording of the batch is."""
    return torch.tensor(sizes)


def sound(name: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of torchaudio."""
    return Entry("torchaudio", name, of(f"torchaudio.models:{name}", **options), inputs)


TORCHAUDIO = [
    sound("Wav2Letter", noise((2, 1, 4000))),
    sound("DeepSpeech", noise((2, 1, 50, 40)), n_feature=40, n_hidden=64, n_class=30),
    sound(
        "Conformer",
        lambda: [torch.randn(2, 50, 32), lengths(50, 40)],
        input_dim=32,
        num_heads=4,
        ffn_dim=64,
        num_layers=2,
        depthwise_conv_kernel_size=15,
    ),
    sound(
        "Emformer",
        lambda: [torch.randn(2, 20, 32), lengths(16, 12)],
        input_dim=32,
        num_heads=4,
        ffn_dim=64,
        num_layers=2,
        segment_length=4,
        right_context_length=4,
        left_context_length=4,
        max_memory_size=2,
    ),
    sound(
        "ConvTasNet",
        noise((1, 1, 2000)),
        enc_num_feats=64,
        msk_num_feats=32,
        msk_num_hidden_feats=64,
        msk_num_layers=4,
        msk_num_stacks=2,
    ),
    sound("HDemucs", noise((1, 2, 16384)), sources=["drums", "bass"], channels=8, nfft=1024, depth=4),
    sound(
        "Tacotron2",
        lambda: [ids(2, 12, 148), lengths(12, 9), torch.randn(2, 80, 15), lengths(15, 11)],
        symbol_embedding_dim=32,
        encoder_embedding_dim=32,
        decoder_rnn_dim=64,
        attention_rnn_dim=64,
        attention_hidden_dim=16,
        prenet_dim=32,
        postnet_embedding_dim=32,
    ),
    sound(
        "WaveRNN",
        noise((1, 1, 400), (1, 1, 128, 8)),
        upsample_scales=[5, 5, 4],
        n_classes=64,
        hop_length=100,
        n_res_block=2,
        n_rnn=64,
        n_fc=64,
    ),
    sound("wav2vec2_base", lambda: [torch.randn(1, 4000)]),
    sound(
        "emformer_rnnt_base",
        lambda: [torch.randn(1, 36, 80), lengths(32), ids(1, 5, 30).int(), lengths(5).int()],
        num_symbols=30,
    ),
    sound("squim_objective_base", noise((1, 8000))),
]


def recording(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of speechbrain: `file:Class`."""
    return Entry("speechbrain", kind.partition(":")[2], of(f"speechbrain.lobes.models.{kind}", **options), inputs)


SPEECHBRAIN = [
    recording(
        "ECAPA_TDNN:ECAPA_TDNN",
        lambda: [torch.randn(2, 50, 40), torch.tensor([1.0, 0.8])],
        input_size=40,
        channels=[32, 32, 32, 32, 96],
        lin_neurons=16,
        attention_channels=16,
    ),
    recording(
        "Xvector:Xvector", noise((2, 50, 40)), in_channels=40, tdnn_channels=[32, 32, 32, 32, 96], lin_neurons=16
    ),
    recording(
        "CRDNN:CRDNN",
        noise((2, 50, 40)),
        input_size=40,
        cnn_channels=(16, 32),
        rnn_neurons=32,
        rnn_layers=2,
        dnn_neurons=32,
    ),
    recording(
        "conv_tasnet:MaskNet", noise((1, 32, 60)), N=32, B=16, H=32, P=3, X=2, R=2, C=2, norm_type="gLN", causal=False
    ),
    recording(
        "transformer.Conformer:ConformerEncoder",
        lambda: {"src": torch.randn(2, 30, 32), "pos_embs": torch.randn(1, 59, 32)},
        num_layers=2,
        d_model=32,
        d_ffn=64,
        nhead=4,
    ),
    recording(
        "transformer.TransformerASR:TransformerASR",
        lambda: {"src": torch.randn(2, 30, 40), "tgt": ids(2, 7, 50), "wav_len": torch.tensor([1.0, 0.7])},
        tgt_vocab=50,
        input_size=40,
        d_model=32,
        nhead=4,
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_ffn=64,
    ),
    recording(
        "transformer.Branchformer:BranchformerEncoder",
        lambda: {"src": torch.randn(2, 30, 32), "pos_embs": torch.randn(1, 59, 32)},
        num_layers=2,
        d_model=32,
        nhead=4,
        kernel_size=7,
    ),
    recording(
        "HifiGAN:HifiganGenerator",
        noise((1, 80, 20)),
        in_channels=80,
        out_channels=1,
        resblock_type="1",
        resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
        resblock_kernel_sizes=[3, 5],
        upsample_kernel_sizes=[8, 8],
        upsample_initial_channel=32,
        upsample_factors=[4, 4],
    ),
]


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


def mamba(kind: str, inputs: Callable[[], Inputs], config: str, **options: Any) -> Entry:
    """A network of mambapy: `file:Class`, on its configuration."""

    def build() -> nn.Module:
        home, _, name = kind.partition(":")
        module = library(f"mambapy.{home}")
        network: nn.Module = getattr(module, name)(getattr(module, config)(**options))
        return network

    return Entry("mambapy", name_of(kind), build, inputs)


def name_of(kind: str) -> str:
    """The class of `file:Class`."""
    return kind.partition(":")[2]


MAMBAPY = [
    mamba("mamba:Mamba", noise((2, 16, 32)), "MambaConfig", d_model=32, n_layers=2),
    Entry(
        "mambapy",
        "Mamba (scan in sequence)",
        lambda: mamba("mamba:Mamba", noise(), "MambaConfig", d_model=32, n_layers=2, pscan=False).build(),
        noise((2, 16, 32)),
    ),
    mamba(
        "jamba:Jamba",
        noise((2, 16, 32)),
        "JambaLMConfig",
        d_model=32,
        n_layers=4,
        mlp_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_offset=1,
        attn_layer_period=2,
        num_experts=4,
    ),
    mamba(
        "jamba:JambaLM",
        lambda: [ids(2, 16, 500)],
        "JambaLMConfig",
        d_model=32,
        n_layers=4,
        vocab_size=500,
        mlp_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_layer_offset=1,
        attn_layer_period=2,
        num_experts=4,
    ),
]


def spikes(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of spikingjelly: `file:function`."""

    def build() -> nn.Module:
        home, _, name = kind.partition(":")
        base = "spikingjelly.activation_based"
        made: nn.Module = getattr(library(f"{base}.model.{home}"), name)(
            pretrained=False,
            spiking_neuron=library(f"{base}.neuron").IFNode,
            surrogate_function=library(f"{base}.surrogate").ATan(),
            **options,
        )
        library(f"{base}.functional").set_step_mode(made, "m")
        return made

    return Entry(
        "spikingjelly",
        name_of(kind),
        build,
        inputs,
        lambda made: library("spikingjelly.activation_based.functional").reset_net(made),
    )


SPIKINGJELLY = [
    spikes("spiking_resnet:spiking_resnet18", noise((4, 1, 3, 64, 64)), num_classes=10),
    spikes("sew_resnet:sew_resnet18", noise((4, 1, 3, 64, 64)), cnf="ADD", num_classes=10),
]


class Leaky(nn.Module):
    """Leaky neurons of snntorch on a small convolution, over several steps."""

    def __init__(self) -> None:
        super().__init__()
        snntorch = library("snntorch")
        self.conv = nn.Conv2d(1, 8, 5)
        self.first = snntorch.Leaky(beta=0.9)
        self.out = nn.Linear(8 * 12 * 12, 10)
        self.last = snntorch.Synaptic(alpha=0.9, beta=0.8)

    def forward(self, x: Tensor) -> Tensor:
        """Counts of spikes per class over the steps, which are the first axis."""
        potential = self.first.init_leaky()
        current, second = self.last.init_synaptic()
        counts = []
        for step in x:
            spike, potential = self.first(nn.functional.max_pool2d(self.conv(step), 2), potential)
            spike, current, second = self.last(self.out(spike.flatten(1)), current, second)
            counts.append(spike)
        return torch.stack(counts).sum(0)


def leaky(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A layer of neurons of snntorch."""
    return Entry("snntorch", kind, of(f"snntorch:{kind}", **options), inputs)


SNNTORCH = [
    Entry("snntorch", "Leaky, Synaptic", Leaky, noise((4, 2, 1, 28, 28))),
    leaky("SLSTM", lambda: [torch.randn(2, 16), torch.zeros(2, 32), torch.zeros(2, 32)], input_size=16, hidden_size=32),
    leaky(
        "SConv2dLSTM",
        lambda: [torch.randn(2, 1, 16, 16), torch.zeros(2, 8, 16, 16), torch.zeros(2, 8, 16, 16)],
        in_channels=1,
        out_channels=8,
        kernel_size=3,
    ),
    leaky("RLeaky", lambda: [torch.randn(2, 16), torch.zeros(2, 16), torch.zeros(2, 16)], beta=0.9, linear_features=16),
]


def x_transformer(name: str, build: Callable[[Any], nn.Module], inputs: Callable[[], Inputs]) -> Entry:
    """A network of x-transformers."""
    return Entry("x_transformers", name, lambda: build(library("x_transformers")), inputs)


LAYERS = {"dim": 32, "depth": 2, "heads": 4}
X_TRANSFORMERS = [
    x_transformer(
        "Decoder",
        lambda x: x.TransformerWrapper(num_tokens=100, max_seq_len=64, attn_layers=x.Decoder(**LAYERS)),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, flash, rotary, GQA",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            attn_layers=x.Decoder(attn_flash=True, rotary_pos_emb=True, attn_kv_heads=2, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Encoder, mask, relative bias",
        lambda x: x.TransformerWrapper(
            num_tokens=100, max_seq_len=64, attn_layers=x.Encoder(rel_pos_bias=True, ff_glu=True, **LAYERS)
        ),
        lambda: {"x": ids(2, 16, 100), "mask": torch.arange(16).expand(2, 16) < torch.tensor([[16], [12]])},
    ),
    x_transformer(
        "Encoder, talking heads, alibi",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            num_memory_tokens=4,
            attn_layers=x.Encoder(alibi_pos_bias=True, attn_pre_talking_heads=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, sparse top-k, macaron",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            attn_layers=x.Decoder(attn_sparse_topk=4, macaron=True, use_rmsnorm=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "Decoder, recurrence",
        lambda x: x.TransformerWrapper(
            num_tokens=100,
            max_seq_len=64,
            max_mem_len=16,
            shift_mem_down=1,
            attn_layers=x.Decoder(rel_pos_bias=True, **LAYERS),
        ),
        lambda: [ids(2, 16, 100)],
    ),
    x_transformer(
        "ViTransformerWrapper",
        lambda x: x.ViTransformerWrapper(image_size=32, patch_size=8, num_classes=10, attn_layers=x.Encoder(**LAYERS)),
        noise((2, 3, 32, 32)),
    ),
    x_transformer(
        "ContinuousTransformerWrapper",
        lambda x: x.ContinuousTransformerWrapper(dim_in=16, dim_out=8, max_seq_len=64, attn_layers=x.Encoder(**LAYERS)),
        noise((2, 16, 16)),
    ),
    x_transformer(
        "XTransformer",
        lambda x: x.XTransformer(
            dim=32,
            enc_num_tokens=100,
            enc_depth=2,
            enc_heads=4,
            enc_max_seq_len=64,
            dec_num_tokens=100,
            dec_depth=2,
            dec_heads=4,
            dec_max_seq_len=64,
        ),
        lambda: [ids(2, 16, 100), ids(2, 12, 100)],
    ),
]


def functions(name: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of neuraloperator."""
    return Entry("neuralop", name, of(f"neuralop.models:{name}", **options), inputs)


FIELD = noise((2, 3, 16, 16))
NEURALOP = [
    functions("FNO", FIELD, n_modes=(8, 8), in_channels=3, out_channels=1, hidden_channels=16, n_layers=2),
    functions(
        "TFNO",
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
        "TFNO",
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
        "FNO", noise((2, 3, 8, 8, 8)), n_modes=(4, 4, 4), in_channels=3, out_channels=1, hidden_channels=8, n_layers=2
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
        return self.mix(self.product(x, self.harmonics(directions), self.weights(lengths)))


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

ENTRIES: list[Entry] = [
    *TORCHAUDIO,
    *SPEECHBRAIN,
    *GRAPHS,
    *MAMBAPY,
    *SPIKINGJELLY,
    *SNNTORCH,
    *X_TRANSFORMERS,
    *NEURALOP,
    *E3NN,
]
