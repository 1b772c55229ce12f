"""Networks of transformers that hear and speak, and that forecast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.zoo.entry import Entry, Inputs, ids, named, padding_mask, text
from benchmarks.zoo.networks.hugging_face import SMALL, small, transformer
from benchmarks.zoo.networks.transformers_text import D_MODEL

SAMPLES = 4000


def speech(**others: Any) -> Callable[[], Inputs]:
    """What a feature extractor gives for two recordings, the second of which is padded."""
    return named(input_values=(2, SAMPLES), attention_mask=lambda: padding_mask(2, SAMPLES, SAMPLES // 4), **others)


WAV2VEC: dict[str, Any] = SMALL | {
    "conv_dim": [32] * 7,
    "feat_extract_norm": "layer",
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "do_stable_layer_norm": True,
}


HEARING = [
    transformer("Wav2Vec2ForCTC", speech(), **WAV2VEC),
    transformer("HubertForCTC", speech(), **WAV2VEC),
    transformer("WavLMForSequenceClassification", speech(), **WAV2VEC),
    transformer("UniSpeechForCTC", speech(), **(WAV2VEC | {"num_ctc_classes": 30})),
    transformer("UniSpeechSatForCTC", speech(), **WAV2VEC),
    transformer("Data2VecAudioForCTC", speech(), **WAV2VEC),
    transformer("Wav2Vec2ConformerForCTC", speech(), **WAV2VEC),
    transformer("SEWForCTC", speech(), **(WAV2VEC | {"squeeze_factor": 2, "conv_dim": [32] * 13})),
    transformer("SEWDForCTC", speech(), **(WAV2VEC | {"squeeze_factor": 2, "conv_dim": [32] * 13})),
    small("Wav2Vec2BertForCTC", named(input_features=(2, 50, 160), attention_mask=lambda: padding_mask(2, 50, 10))),
    transformer(
        "WhisperForConditionalGeneration",
        named(input_features=(2, 80, 100), decoder_input_ids=lambda: ids(2, 8)),
        max_source_positions=50,
        pad_token_id=0,
        **D_MODEL,
    ),
    transformer(
        "Speech2TextForConditionalGeneration",
        named(
            input_features=(2, 100, 80),
            attention_mask=lambda: padding_mask(2, 100, 20),
            decoder_input_ids=lambda: ids(2, 8),
        ),
        conv_channels=64,
        **D_MODEL,
    ),
    small(
        "MoonshineForConditionalGeneration",
        named(input_values=(2, SAMPLES), decoder_input_ids=lambda: ids(2, 8)),
        encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2,
    ),
    small("ASTForAudioClassification", named(input_values=(2, 64, 32)), max_length=64, num_mel_bins=32),
    transformer(
        "SpeechT5ForSpeechToText",
        speech(decoder_input_ids=lambda: ids(2, 8, 80)),
        hidden_size=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
        conv_dim=[32] * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    ),
    transformer(
        "SpeechT5ForTextToSpeech",
        text(vocabulary=80, decoder_input_values=(2, 10, 80), speaker_embeddings=(2, 512)),
        hidden_size=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
    ),
    transformer(
        "FastSpeech2ConformerModel",
        named(input_ids=lambda: ids(1, 12, 70), return_dict=True),
        hidden_size=32,
        vocab_size=78,
        encoder_layers=2,
        decoder_layers=2,
        encoder_linear_units=64,
        decoder_linear_units=64,
        duration_predictor_channels=32,
        energy_predictor_channels=32,
        pitch_predictor_channels=32,
        speech_decoder_postnet_units=32,
        speech_decoder_postnet_layers=2,
    ),
    transformer(
        "VitsModel",
        text(batch=1, padded=0, vocabulary=38),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        flow_size=32,
        spectrogram_bins=33,
        upsample_initial_channel=64,
    ),
    transformer("UnivNetModel", named(input_features=(1, 20, 100)), model_in_channels=64, model_hidden_channels=8),
    transformer(
        "EncodecModel",
        named(input_values=(1, 1, 6400)),
        num_filters=8,
        hidden_size=32,
        codebook_dim=32,
        codebook_size=64,
    ),
    transformer(
        "DacModel",
        named(input_values=(1, 1, 5120)),
        encoder_hidden_size=8,
        decoder_hidden_size=128,
        n_codebooks=3,
        codebook_size=64,
    ),
    transformer(
        "MimiModel",
        named(input_values=(1, 1, 7680)),
        hidden_size=64,
        num_filters=8,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=128,
        codebook_size=64,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=4,
        upsample_groups=64,
        head_dim=16,
    ),
    transformer(
        "ClapModel",
        text(padded=3, input_features=(2, 1, 1001, 64), is_longer=lambda: torch.zeros(2, 1, dtype=torch.bool)),
        text_config=SMALL | {"num_hidden_layers": 2, "projection_dim": 32},
        audio_config={
            "patch_embeds_hidden_size": 16,
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 2, 4, 8],
            "hidden_size": 128,
            "projection_dim": 32,
        },
        projection_dim=32,
    ),
]


def series(length: int, future: int, lags: int) -> Callable[[], Inputs]:
    """What a time series model is trained on: past values, time features and what was seen of both."""
    past = length + lags
    return named(
        past_values=(2, past),
        past_time_features=(2, past, 2),
        past_observed_mask=lambda: torch.ones(2, past),
        future_values=(2, future),
        future_time_features=(2, future, 2),
    )


SERIES = {
    "prediction_length": 8,
    "context_length": 24,
    "lags_sequence": [1, 2, 3],
    "num_time_features": 2,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
}


FORECASTING = [
    transformer("TimeSeriesTransformerForPrediction", series(24, 8, 3), **SERIES),
    transformer("InformerForPrediction", series(24, 8, 3), **SERIES),
    transformer("AutoformerForPrediction", series(24, 8, 3), **(SERIES | {"label_length": 8})),
    transformer(
        "PatchTSTForPrediction",
        named(past_values=(2, 64, 3), past_observed_mask=lambda: torch.ones(2, 64, 3)),
        num_input_channels=3,
        context_length=64,
        patch_length=8,
        patch_stride=8,
        d_model=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=64,
        prediction_length=16,
    ),
    transformer(
        "PatchTSMixerForPrediction",
        named(past_values=(2, 64, 3), observed_mask=lambda: torch.ones(2, 64, 3)),
        num_input_channels=3,
        context_length=64,
        patch_length=8,
        patch_stride=8,
        d_model=16,
        num_layers=2,
        prediction_length=16,
        self_attn=True,
        self_attn_heads=2,
    ),
    transformer(
        "TimesFmModelForPrediction",
        named(past_values=lambda: [torch.randn(64), torch.randn(48)]),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        head_dim=16,
        intermediate_size=64,
        context_length=64,
        horizon_length=16,
        patch_length=16,
    ),
]

ENTRIES: list[Entry] = [*HEARING, *FORECASTING]
