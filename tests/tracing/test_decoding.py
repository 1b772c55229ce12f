import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archlab.errors import InputError
from archlab.networks import resolve
from archlab.records import Decoding
from archlab.tables.decoding import decoding_tables
from archlab.tables.text import text
from archlab.tracing import decoding

pytest.importorskip("transformers", reason="a decoder with a cache comes from transformers (archlab[hf])")

N = 30
"""Tokens of the prompt."""
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 96}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 2, **SMALL}


def folder(path: Path, config: dict[str, Any]) -> str:
    (path / "config.json").write_text(json.dumps(config))
    return f"hf:{path}"


def test_llama_by_hand(tmp_path: Path) -> None:
    found = decoding(folder(tmp_path, LLAMA), N)
    # A layer: queries and output 32 x 32, keys and values for 2 heads of 8, three of 32 x 48; 32 x 96 at the end.
    projections = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48
    # Scores and sums: 2 x 4 heads x 8 features over N positions for each of N tokens; N + 1 for the one behind them.
    assert found.prefill.macs == N * (2 * (projections + 2 * 4 * 8 * N) + 32 * 96)
    assert found.decode.macs == 2 * (projections + 2 * 4 * 8 * (N + 1)) + 32 * 96
    # Keys and values of 2 layers: 2 heads x 8 features x 4 bytes per token.
    token = 2 * 2 * 2 * 8 * 4
    assert (found.prefill.cache_read, found.prefill.cache_after) == (0, N * token)
    assert (found.decode.cache_read, found.decode.cache_after) == (N * token, (N + 1) * token)
    assert found.parameters == 2 * (projections + 2 * 32) + 2 * 96 * 32 + 32
    assert {name: 8 * size / found.parameters for name, size in found.weights.items()} == {
        "fp32": 32,
        "bf16": 16,
        "int8": 8,
        "int4": 4,
    }
    read = found.weights["int8"] + N * token
    assert found.decode.intensity(found.weights["int8"]) == 2 * found.decode.macs / read
    assert found.cache_shapes == ((1, 2, N, 8),) * 4
    assert Decoding.from_json(found.to_json()) == found


def test_a_batch_multiplies_macs_and_cache(tmp_path: Path) -> None:
    source = folder(tmp_path, LLAMA)
    one, three = decoding(source, N), decoding(source, N, batch=3)
    assert (three.decode.macs, three.decode.cache_read) == (3 * one.decode.macs, 3 * one.decode.cache_read)
    assert (three.prefill.macs, three.weights) == (3 * one.prefill.macs, one.weights)


CACHES: list[tuple[str, dict[str, Any], Callable[[int], int]]] = [
    # Numbers that the cache holds after so many tokens: heads x (features of a key + of a value) x tokens, per layer.
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 96}, lambda tokens: 2 * 4 * 16 * tokens),
    # A window of 10: what the next token sees beside itself are 9.
    ("mistral", {**SMALL, "num_key_value_heads": 2, "sliding_window": 10}, lambda tokens: 2 * 2 * 16 * min(tokens, 9)),
    # One key of 4 rotated features for all heads, and 6 compressed ones, of which keys and values are made.
    (
        "deepseek_v3",
        {**SMALL, "kv_lora_rank": 6, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
        | {"first_k_dense_replace": 2, "num_key_value_heads": 4},
        lambda tokens: 2 * (4 + 6) * tokens,
    ),
    # No token more: 5 numbers for each of 32 features.
    ("rwkv", {**SMALL, "attention_hidden_size": 32}, lambda tokens: 2 * 5 * 32),
    # No token more: 64 features (2 x 32), each with 4 steps before it and a state of 16.
    ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 96}, lambda tokens: 2 * 64 * (4 + 16)),
]


@pytest.mark.parametrize(("kind", "config", "numbers"), CACHES, ids=[case[0] for case in CACHES])
def test_the_cache_is_the_networks_own(
    tmp_path: Path, kind: str, config: dict[str, Any], numbers: Callable[[int], int]
) -> None:
    found = decoding(folder(tmp_path, {"model_type": kind, **config}), N, task="causal-lm")
    assert found.prefill.cache_after == found.decode.cache_read == 4 * numbers(N)
    assert found.decode.cache_after == 4 * numbers(N + 1)


def test_element_types_are_the_configs(tmp_path: Path) -> None:
    found = decoding(folder(tmp_path, {**LLAMA, "dtype": "bfloat16"}), N)
    assert found.cache_dtypes == ("bfloat16",)
    assert found.decode.cache_read == N * 2 * 2 * 2 * 8 * 2


def test_a_network_that_is_given_is_left_as_it_was(tmp_path: Path) -> None:
    network = resolve(folder(tmp_path, LLAMA)).build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    hooks = dict(network._forward_hooks)
    found = decoding(network, N)
    assert found.decode == decoding(folder(tmp_path, LLAMA), N).decode
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert dict(network._forward_hooks) == hooks
    assert network.training


def test_what_is_refused(tmp_path: Path) -> None:
    source = folder(tmp_path, LLAMA)
    with pytest.raises(InputError, match="the prompt has 0 tokens"):
        decoding(source, 0)
    with pytest.raises(InputError, match="given twice, as seq too"):
        decoding(source, 4, seq=3)
    with pytest.raises(InputError, match="given twice, as seq too"):
        decoding(resolve(source, {"seq": 3}), 4)
    with pytest.raises(InputError, match=r"Linear \(Linear\) keeps no cache between tokens"):
        decoding(nn.Linear(2, 2), 4)


T5 = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 32, "d_kv": 8, "d_ff": 48}
T5 |= {"num_layers": 2, "num_heads": 4, "vocab_size": 96}


def test_an_encoder_by_hand(tmp_path: Path) -> None:
    found = decoding(folder(tmp_path, T5), N)
    square, feed = 32 * 32, 2 * 32 * 48
    # A layer of the encoder, per token: four projections, scores and sums over N positions, two of 32 x 48.
    encoder = N * (4 * square + 2 * 32 * N + feed)
    # A layer of the decoder: self-attention over 1 position, then 2; cross-attention over N.
    first, second = (4 * square + 2 * 32 * own + 2 * square + 2 * 32 * N + feed for own in (1, 2))
    # Keys and values of what the encoder made, once.
    cross = N * 2 * square
    assert found.prefill.macs == 2 * (encoder + first + cross) + 32 * 96
    assert found.decode.macs == 2 * second + 32 * 96
    # Keys and values of 2 layers: 32 features each, for N positions and those that the decoder made.
    assert (found.decode.cache_read, found.decode.cache_after) == tuple(2 * 2 * 32 * 4 * (N + own) for own in (1, 2))
    assert "cross-attention over 30" in found.notes[0]
    assert "positions, or the network's window" not in text(decoding_tables(found)[0])


def test_a_prompt_of_the_decoders_where_the_encoder_hears(tmp_path: Path) -> None:
    sides = {f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    sizes = {"d_model": 16, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": 96, "pad_token_id": 0}
    config = {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], **sides, **sizes}
    source = folder(tmp_path, {**config, "num_mel_bins": 8, "max_source_positions": 25, "max_target_positions": 64})
    found = decoding(source, N)
    # A layer: four projections for itself and two across, over N + 1 and 25 positions, two of 16 x 24; 16 x 96 at last.
    assert found.decode.macs == 2 * (6 * 16 * 16 + 2 * 16 * (N + 1 + 25) + 2 * 16 * 24) + 16 * 96
    assert found.decode.cache_read == 2 * 2 * 16 * 4 * (N + 25)


def test_states_that_modules_keep_themselves(tmp_path: Path) -> None:
    kinds = ["recurrent", "recurrent", "attention"]
    sizes = {"lru_width": 32, "attention_window_size": 10, "num_key_value_heads": 2, "block_types": kinds}
    config = {**SMALL, **sizes, "num_hidden_layers": 3}
    found = decoding(folder(tmp_path, {"model_type": "recurrent_gemma", **config}), N, task="causal-lm")
    # Two layers with 3 steps of 32 features and a state of 32; one with 9 keys and values of 2 heads of 8.
    assert found.prefill.cache_after == found.decode.cache_after == 4 * (2 * (3 * 32 + 32) + 2 * 9 * 2 * 8)


def test_its_tables(tmp_path: Path) -> None:
    found = decoding(folder(tmp_path, LLAMA), N, batch=2)
    passes, precisions = decoding_tables(found)
    assert [row.cells[:2] for row in passes.rows] == [("prefill", N), ("decode", 1)]
    assert [row.cells[0] for row in precisions.rows] == ["fp32", "bf16", "int8", "int4"]
    written = text(passes)
    assert "a prompt of 30 tokens, then one more, 2 sequences at a time" in written
    assert "31 positions" in written
    assert max(len(line) for line in (written + text(precisions)).splitlines()[1:]) <= 110
