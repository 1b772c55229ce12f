import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archlab.errors import ArchlabError, InputError, SourceError
from archlab.networks import Source, resolve
from archlab.networks.hugging_face.transformer import task_name
from archlab.records import Trace
from archlab.tracing import trace

pytest.importorskip("transformers", reason="hf: sources of transformers need transformers (archlab[hf])")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 96}
BERT = {"model_type": "bert", "architectures": ["BertForMaskedLM"], "max_position_embeddings": 64, **SMALL}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 2, **SMALL}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}


def folder(path: Path, config: Mapping[str, Any]) -> str:
    """The source for a folder with this config."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    return f"hf:{path}"


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_llama_by_hand(tmp_path: Path) -> None:
    found = trace(folder(tmp_path, LLAMA), seq=10)
    # A layer: queries and output 32 x 32, keys and values 32 x 16, three of 32 x 48, two norms of 32.
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32
    assert found.totals.parameters == 2 * layer + 2 * 96 * 32 + 32
    # Per token: a layer's products, scores and sums over 10 positions of 4 x 8 features each; and 32 x 96 at the end.
    assert found.totals.macs == 10 * (2 * (layer - 2 * 32 + 2 * 32 * 10) + 32 * 96)
    assert (found.inputs, found.input_names, found.input_dtypes) == (((1, 10),), ("input_ids",), ("int64",))
    assert found.options == {"seq": "10"}
    assert found.totals.uncounted_operations == {}
    assert found.notes == ()


CASES = [
    ("bert", BERT, {"input_ids": (2, 64)}),
    ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 96, "n_positions": 128}, {"input_ids": (2, 128)}),
    ("llama", LLAMA, {"input_ids": (2, 128)}),
    ("mixtral", {**SMALL, "num_key_value_heads": 2, "num_local_experts": 4}, {"input_ids": (2, 128)}),
    (
        "t5",
        {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "vocab_size": 96},
        {"input_ids": (2, 128), "decoder_input_ids": (2, 128)},
    ),
    ("vit", VISION, {"pixel_values": (2, 3, 32, 32)}),
    (
        "segformer",
        {"hidden_sizes": [8, 8, 16, 16], "depths": [1] * 4, "num_attention_heads": [1, 1, 2, 2]},
        {"pixel_values": (2, 3, 224, 224)},
    ),
    (
        "clip",
        {"text_config": {**SMALL, "max_position_embeddings": 20}, "vision_config": VISION, "projection_dim": 16},
        {"input_ids": (2, 20), "pixel_values": (2, 3, 32, 32)},
    ),
    (
        "wav2vec2",
        {**SMALL, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2},
        {"input_values": (2, 16000)},
    ),
    (
        "whisper",
        {
            "architectures": ["WhisperForConditionalGeneration"],
            **{f"{side}_{name}": 2 for side in ("encoder", "decoder") for name in ("layers", "attention_heads")},
            "d_model": 16,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 24,
            "vocab_size": 96,
            "pad_token_id": 0,
            "num_mel_bins": 8,
            "max_source_positions": 25,
            "max_target_positions": 12,
        },
        {"input_features": (2, 8, 50), "decoder_input_ids": (2, 12)},
    ),
    (
        "videomae",
        {**VISION, "num_frames": 4, "tubelet_size": 2},
        {"pixel_values": (2, 4, 3, 32, 32)},
    ),
]


@pytest.mark.parametrize(("kind", "config", "inputs"), CASES, ids=[case[0] for case in CASES])
def test_inputs_by_themselves(tmp_path: Path, kind: str, config: dict[str, Any], inputs: dict[str, Any]) -> None:
    source = resolve(folder(tmp_path, {"model_type": kind, **config}))
    found = trace(source, batch=2)
    assert dict(zip(found.input_names, found.inputs, strict=True)) == inputs
    assert found.totals.parameters == parameters(source.build())
    assert found.totals.macs > 0
    assert found.totals.uncounted_operations == {}
    assert not [note for note in found.notes if "real arithmetic" in note]


def test_the_head_is_the_configs_or_the_tasks_or_none(tmp_path: Path) -> None:
    source = folder(tmp_path / "bert", BERT)
    bare = folder(tmp_path / "bare", {key: value for key, value in BERT.items() if key != "architectures"})
    kinds = [
        type(resolve(*args).build("meta")).__name__
        for args in (
            (source,),
            (bare,),
            (source, {"task": "base"}),
            (source, {"task": "sequence-classification", "num_labels": "5"}),
        )
    ]
    assert kinds == ["BertForMaskedLM", "BertModel", "BertModel", "BertForSequenceClassification"]
    found = trace(source, task="sequence-classification", num_labels=5, seq=8)
    assert found.layers[-1].output_shapes == ((1, 5),)
    assert found.layers[-1].parameters == 32 * 5 + 5


def test_names_of_tasks() -> None:
    names = ["CausalLM", "MaskedLM", "ImageTextToText", "CTC", "AudioXVector", "SpeechSeq2Seq"]
    expected = ["causal-lm", "masked-lm", "image-text-to-text", "ctc", "audio-x-vector", "speech-seq2-seq"]
    assert [task_name(f"AutoModelFor{name}") for name in names] == expected


def test_options_are_fields_of_the_config(tmp_path: Path) -> None:
    config = {**BERT, "layer_kinds": ["a", "b"]}
    source = folder(tmp_path, config)
    network = resolve(source, {"num_hidden_layers": "1", "hidden_act": "relu", "hidden_dropout_prob": "0"}).build(
        "meta"
    )
    kept: Any = network.config
    assert (kept.num_hidden_layers, kept.hidden_act, kept.hidden_dropout_prob, kept.layer_kinds) == (
        1,
        "relu",
        0,
        ["a"],
    )
    nested = folder(tmp_path / "clip", {"model_type": "clip", "text_config": SMALL, "vision_config": VISION})
    changed: Any = resolve(nested, {"text_config.hidden_size": "16"}).build("meta").config
    assert changed.text_config.hidden_size == 16


def test_a_file_of_a_config_is_a_source(tmp_path: Path) -> None:
    found = trace(folder(tmp_path, BERT), seq=8)
    assert trace(str(tmp_path / "config.json"), seq=8).totals == found.totals
    assert trace(f"hf:{tmp_path / 'config.json'}", seq=8).totals == found.totals


def test_inputs_that_are_given_are_the_only_ones(tmp_path: Path) -> None:
    source = folder(tmp_path, BERT)
    found = trace(source, ["input_ids=3x7:int64", "attention_mask=3x7:int64"])
    assert found.input_names == ("input_ids", "attention_mask")
    assert found.inputs[0] == (3, 7)


def test_a_cache_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    source = folder(tmp_path, LLAMA)
    without, with_cache = trace(source, seq=8), trace(source, seq=8, use_cache=True)
    assert without.layers[0].output_shapes == ((1, 8, 32),)
    assert with_cache.layers[0].output_shapes == ((1, 8, 32), *[(1, 2, 8, 8)] * 4)
    assert with_cache.totals.macs == without.totals.macs


def test_texts_alone_are_said_to_be_alone(tmp_path: Path) -> None:
    source = folder(tmp_path, {"model_type": "layoutlmv3", **SMALL, "coordinate_size": 4, "shape_size": 8})
    found = trace(source, seq=8)
    assert [note for note in found.notes if note.startswith("Traced on text alone, without pixel_values")]
    assert found.input_names == ("input_ids", "bbox")


TEXT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
TEXT |= {"intermediate_size": 96, "vocab_size": 300}
TOWER = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
TOWER |= {"image_size": 56, "patch_size": 14}
ROPE = {"rope_parameters": {"mrope_section": [2, 3, 3], "rope_type": "default", "rope_theta": 1e4}}
QWEN = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 4, "patch_size": 14, "spatial_merge_size": 2}

WITH_PICTURES: list[tuple[str, str, dict[str, Any], int, dict[str, Any]]] = [
    # 56 x 56 pixels are 4 x 4 patches of 14; joined by 2 x 2, or pooled, they are 4.
    (
        "llava",
        "LlavaForConditionalGeneration",
        {"text_config": {"model_type": "llama", **TEXT}, "vision_config": {"model_type": "clip_vision_model", **TOWER}},
        16,
        {"pixel_values": (2, 3, 56, 56)},
    ),
    (  # 16 of the whole, and of 4 x 8 in two crops the 4 x 4 that aren't padding, and 4 ends of rows
        "llava_next",
        "LlavaNextForConditionalGeneration",
        {
            "text_config": {"model_type": "llama", **TEXT},
            "vision_config": {"model_type": "clip_vision_model", **TOWER},
            "image_grid_pinpoints": [[56, 112], [112, 56]],
        },
        36,
        {"pixel_values": (2, 3, 3, 56, 56), "image_sizes": (2, 2)},
    ),
    (
        "idefics3",
        "Idefics3ForConditionalGeneration",
        {"text_config": {"model_type": "llama", **TEXT}, "vision_config": TOWER, "scale_factor": 2},
        4,
        {"pixel_values": (2, 1, 3, 56, 56)},
    ),
    (
        "gemma3",
        "Gemma3ForConditionalGeneration",
        {
            "text_config": {"model_type": "gemma3_text", **TEXT},
            "vision_config": {"model_type": "siglip_vision_model", **TOWER},
            "mm_tokens_per_image": 4,
        },
        4,
        {"pixel_values": (2, 3, 56, 56)},
    ),
    (
        "paligemma",
        "PaliGemmaForConditionalGeneration",
        {
            "text_config": {"model_type": "gemma", **TEXT},
            "vision_config": {"model_type": "siglip_vision_model", **TOWER, "projection_dim": 64},
            "projection_dim": 64,
        },
        16,
        {"pixel_values": (2, 3, 56, 56)},
    ),
    (
        "internvl",
        "InternVLForConditionalGeneration",
        {
            "text_config": {"model_type": "qwen2", **TEXT},
            "vision_config": {**TOWER, "image_size": [56, 56], "patch_size": [14, 14]},
        },
        4,
        {"pixel_values": (2, 3, 56, 56)},
    ),
    (  # 32 x 32 patches of 448 x 448 pixels, of 3 channels and 2 frames each; 16 x 16 tokens
        "qwen2_vl",
        "Qwen2VLForConditionalGeneration",
        {"text_config": {"model_type": "qwen2_vl_text", **TEXT, **ROPE}, "vision_config": QWEN},
        256,
        {"pixel_values": (2 * 1024, 3 * 2 * 14 * 14), "image_grid_thw": (2, 3), "mm_token_type_ids": (2, 276)},
    ),
]


@pytest.mark.parametrize(
    ("kind", "name", "config", "tokens", "others"), WITH_PICTURES, ids=[case[0] for case in WITH_PICTURES]
)
def test_a_picture_and_its_tokens(
    tmp_path: Path, kind: str, name: str, config: dict[str, Any], tokens: int, others: dict[str, Any]
) -> None:
    place = {"image_token_id": 299, "image_token_index": 299}
    found = trace(folder(tmp_path, {"model_type": kind, "architectures": [name], **config, **place}), batch=2, seq=20)
    inputs = dict(zip(found.input_names, found.inputs, strict=True))
    assert inputs == {"input_ids": (2, tokens + 20), **others}
    assert found.totals.uncounted_operations == {}
    (note,) = found.notes
    assert f"takes {tokens} image tokens, and a text of 20 tokens" in note


def test_the_macs_of_a_picture_and_its_text(tmp_path: Path) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    config = {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"], **WITH_PICTURES[0][2]}
    source = resolve(folder(tmp_path, {**config, "image_token_index": 299}), {"seq": 20})
    found = trace(source)
    ids = torch.ones(1, 36, dtype=torch.int64)
    ids[0, :16] = 299
    network: Any = source.build().eval()
    network.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(input_ids=ids, pixel_values=torch.rand(1, 3, 56, 56), use_cache=False)
    # The last of the tower's 3 layers is run, though what it gives isn't used.
    assert counter.get_total_flops() == found.totals.flops


def test_a_quantisation_is_named(tmp_path: Path) -> None:
    config = {**LLAMA, "quantization_config": {"quant_method": "awq", "bits": 4}}
    assert "quantisation (awq), which isn't applied" in trace(folder(tmp_path, config), seq=8).notes[0]


def refused(source: str, **options: Any) -> str:
    with pytest.raises(ArchlabError) as refusal:
        trace(source, **options)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"hiden_size": 3}, "has no option 'hiden_size': did you mean hidden_size"),
        ({}, {"hidden_size": "wide"}, "option hidden_size of hf:.* takes an int, given 'wide'"),
        ({}, {"hidden_size": 33}, "can't be built with hidden_size=33.*not a multiple"),
        ({}, {"task": "masked"}, r"can't be built for the task 'masked': did you mean masked-lm or base"),
        ({}, {"seq": 0}, "option seq of hf:.* is 0"),
        ({"model_type": "brt"}, {}, "model_type 'brt', which transformers .* doesn't know: did you mean"),
        ({"architectures": ["BertForAll"]}, {}, "names the class 'BertForAll', which transformers .* has none of"),
        ({"auto_map": {"AutoModel": "mine.Net"}}, {}, "runs no such code.*--option auto_map=none"),
        ({"model_type": "vit", "architectures": None}, {"seq": 4}, "takes no sequence.*leave --seq"),
    ],
)
def test_what_is_refused(tmp_path: Path, change: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArchlabError, match=said):
        trace(folder(tmp_path, {**BERT, **change}), **options)


def test_code_of_a_repository_is_never_run(tmp_path: Path) -> None:
    source = folder(tmp_path, {**BERT, "auto_map": {"AutoModelForMaskedLM": "mine.Net", "AutoConfig": "mine.Config"}})
    (tmp_path / "mine.py").write_text("raise SystemExit('run')")
    assert "runs no such code" in refused(source)
    assert trace(source, auto_map="none", seq=8).totals.macs > 0


def test_unknown_inputs_name_what_forward_takes(tmp_path: Path) -> None:
    source = folder(tmp_path, {"model_type": "blip_2_qformer", **SMALL, "encoder_hidden_size": 16})
    said = refused(source)
    assert "it isn't known what Blip2QFormerModel is to be given as query_embeds: its forward takes query_em" in said
    assert "--input query_embeds=" in said


def test_a_config_without_the_fields_of_its_kind_is_no_crash(tmp_path: Path) -> None:
    source = folder(tmp_path, {"model_type": "timesfm", "num_hidden_layers": 1})
    assert "it isn't known what TimesFmModel is to be given: its forward takes past_values" in refused(source)


def test_a_wrong_guess_says_that_it_was_one(tmp_path: Path) -> None:
    source = folder(tmp_path, {"model_type": "kyutai_speech_to_text", "num_hidden_layers": 1})
    said = refused(source)
    assert "the inputs were made from the config alone; KyutaiSpeechToTextModel takes (" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "expected a JSON object, found a list"),
        ('{"a": 1}', "names neither a model_type nor a _class_name"),
        ('{"schema": "archlab.trace/1", "layers": []}', "is a trace of archlab's"),
    ],
)
def test_files_that_are_no_configs(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(SourceError, match=said):
        resolve(f"hf:{tmp_path}")


def test_an_adapter_alone_names_its_network(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base", "r": 8}))
    with pytest.raises(SourceError, match=r"an adapter \(peft\) alone, for the network org/base: name that, as hf:org"):
        resolve(f"hf:{tmp_path}")


def test_nothing_is_downloaded_unasked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, str]] = []

    def fetch(repository: str, name: str) -> str:
        asked.append((repository, name))
        folder(tmp_path, BERT)
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    with pytest.raises(SourceError, match=r"isn't in the local cache.*--download"):
        resolve("hf:some/network")
    assert asked == []
    assert resolve("hf:some/network", {"download": True}).options == {}
    assert asked == [("some/network", "config.json")]
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args: 1 / 0)
    with pytest.raises(SourceError, match="the config of some/network can't be downloaded: ZeroDivisionError"):
        resolve("hf:some/network", {"download": "true"})


def test_attempts_to_reach_the_hub_are_not_printed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub", reason="the hub's client")
    logger = logging.getLogger("huggingface_hub.utils._http")

    def fail(*args: Any) -> str:
        logger.warning("Retrying in 1s [Retry 1/5].")
        raise huggingface_hub.errors.LocalEntryNotFoundError("not reached")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    before = logging.getLogger("huggingface_hub").level
    with pytest.raises(SourceError, match="can't be downloaded: LocalEntryNotFoundError: not reached"):
        resolve("hf:some/network", {"download": "true"})
    assert not caplog.records
    assert logging.getLogger("huggingface_hub").level == before


@pytest.mark.parametrize("library", ["transformers", "diffusers"])
def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    source = folder(tmp_path, BERT if library == "transformers" else {"_class_name": "UNet2DModel"})
    with pytest.raises(SourceError, match=rf"needs {library}, which isn't installed: pip install 'archlab\[hf\]'"):
        resolve(source)


def test_a_pipeline_names_its_networks(tmp_path: Path) -> None:
    parts = {
        "_class_name": "TextPipeline",
        "text_encoder": ["transformers", "BertModel"],
        "safety_checker": [None, None],
    }
    (tmp_path / "model_index.json").write_text(json.dumps({**parts, "scheduler": ["diffusers", "PNDMScheduler"]}))
    source = f"hf:{tmp_path}"
    with pytest.raises(
        SourceError, match=r"is a pipeline \(TextPipeline\) of text_encoder \(BertModel\): name one, as"
    ):
        resolve(source)
    with pytest.raises(
        SourceError, match="has no component 'unet', or its config isn't there: it consists of text_enc"
    ):
        resolve(source, {"component": "unet"})
    folder(tmp_path / "text_encoder", BERT)
    by_option, by_path = trace(source, component="text_encoder", seq=8), trace(f"{source}/text_encoder", seq=8)
    assert by_option.totals == by_path.totals


def test_the_network_is_left_as_transformers_builds_it(tmp_path: Path) -> None:
    network = resolve(folder(tmp_path, LLAMA)).build()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trace(network, ["input_ids=1x8:int64"])
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def traced(source: str | Source) -> Trace:
    return trace(source, seq=8)


def test_with_options_reads_no_file_twice(tmp_path: Path) -> None:
    source = resolve(folder(tmp_path, BERT))
    assert traced(source.name).totals == traced(source.with_options({"seq": 8}).name).totals


def test_seq_is_refused_beside_a_module() -> None:
    with pytest.raises(InputError, match=r"options \(seq\) were given with a module"):
        trace(nn.Linear(2, 2), [(1, 2)], seq=3)
