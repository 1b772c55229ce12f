"""Networks of torchaudio and speechbrain, which hear and speak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.zoo.entry import Entry, Inputs, ids, noise, of


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

ENTRIES: list[Entry] = [*TORCHAUDIO, *SPEECHBRAIN]
