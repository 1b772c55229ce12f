import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.command import run

BERT = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "vocab_size": 96,
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    pytest.importorskip("transformers", reason="hf: sources of transformers need transformers (archlab[hf])")
    (tmp_path / "config.json").write_text(json.dumps(BERT))
    return f"hf:{tmp_path}"


def test_shapes_with_a_length_a_batch_and_a_task(source: str) -> None:
    done = run("shapes", source, "--seq", "12", "--batch", "3", "-O", "task=token-classification", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["inputs"] == [[3, 12]]
    assert found["options"] == {"task": "token-classification", "seq": "12"}
    assert found["layers"][-1]["output_shapes"] == [[3, 12, 2]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("growth",),
        ("graph", "--format", "mermaid"),
        ("check", "--max-parameters", "1M"),
        ("check", "--max-memory", "1GB"),
        ("shapes", "--fits", "1GB"),
    ],
    ids=" ".join,
)
def test_other_commands_take_it(source: str, arguments: tuple[str, ...]) -> None:
    done = run(arguments[0], source, *arguments[1:], "--seq", "8")
    assert done.code == 0, done.err


def test_a_file_of_a_config_is_no_trace(source: str, tmp_path: Path) -> None:
    path = str(tmp_path / "config.json")
    assert run("diff", source, path, "--seq", "8", "--exit-code").code == 0
    assert run("diff", source, path, "--seq", "8", "--after", "num_hidden_layers=1", "--exit-code").code == 1
    page = tmp_path / "page.html"
    assert run("report", path, "--seq", "8", "-o", str(page)).code == 0
    assert page.is_file()


def test_a_kept_trace_holds(source: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept.json")
    options = ("--seq", "8", "-O", "task=causal-lm")
    assert run("check", source, *options, "--save", kept).code == 0
    assert run("check", source, *options, "--against", kept).code == 0
    assert run("check", source, *options, "--against", kept, "-O", "num_hidden_layers=1").code == 1


def test_decode_shows_two_passes(source: str) -> None:
    done = run("shapes", source, "--decode", "20", "-O", "task=causal-lm", "-O", "is_decoder=true")
    assert done.code == 0, done.err
    passes = [line.split()[:2] for line in done.out.splitlines() if line.startswith(("prefill", "decode"))]
    assert passes == [["prefill", "20"], ["decode", "1"]]
    assert [line.split()[0] for line in done.out.splitlines() if line[:2] in ("fp", "bf", "in")] == [
        *("fp32", "bf16", "int8", "int4"),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seq", "4", "-O", "seq=5"), "option 'seq' is given twice, as --seq and as --option"),
        (("--decode", "4", "--seq", "5"), "given twice, as seq too"),
        (("--decode", "4", "--input", "1x4"), "leave --input out"),
        (("--decode", "4"), "keeps no cache between tokens"),
        (("-O", "task=causal"), "did you mean causal-lm"),
    ],
)
def test_what_is_refused(source: str, options: tuple[str, ...], said: str) -> None:
    done = run("shapes", source, *options)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_other_sources_refuse_a_length() -> None:
    done = run("shapes", "lenet", "--seq", "4")
    assert (done.code, done.out) == (2, "")
    assert "lenet has no option 'seq'" in done.err


def test_a_checkpoint_is_read_by_its_header(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a.weight": torch.zeros(3, 4), "a.bias": torch.zeros(3), "b.weight": torch.zeros(5)}, path)
    done = run("shapes", str(path), "--format", "csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:] == ["a,2,,F32,15,60", "b,1,5,F32,5,20"]
    assert len(json.loads(run("shapes", str(path), "--json").out)["tensors"]) == 3
    done = run("shapes", str(path), "--batch", "2")
    assert (done.code, done.out) == (2, "")
    assert "leave inputs and options out" in done.err


def test_a_checkpoint_beside_its_config_is_compared(source: str, tmp_path: Path) -> None:
    from archlab.networks import resolve

    network = resolve(source).build("meta")
    weights = {name: torch.zeros(value.shape) for name, value in network.named_parameters()}
    count = sum(value.numel() for value in weights.values())
    save_file(weights, tmp_path / "model.safetensors")
    assert f"holds {count:,} parameters (F32) by its headers, as many as the network." in run("shapes", source).out
    weights["more"] = torch.zeros(7)
    del weights["bert.embeddings.LayerNorm.bias"]
    save_file(weights, tmp_path / "model.safetensors")
    said = run("shapes", source).out
    assert (
        f"holds {count + 7 - 32:,} parameters (F32) by its headers; the network built from the config has {count:,}."
        in said
    )
    assert "Not in the checkpoint: bert.embeddings.LayerNorm.bias. In the checkpoint alone: more." in said


def test_what_a_config_is(source: str) -> None:
    (found,) = json.loads(run("networks", source, "--json").out)["networks"]
    assert found["summary"] == "BertForMaskedLM of transformers, by a config of the type bert."
    assert found["inputs"] == {"input_ids": "1x128:int64"}
    assert found["options"]["hidden_size"] == {"type": "int", "default": 32, "help": ""}
    assert "masked-lm" in found["options"]["task"]["help"]
    (headless,) = json.loads(run("networks", source, "--json", "-O", "task=base").out)["networks"]
    # The head: 32 x 32 and its bias, a norm, and a bias per token, for the words' own embeddings are its weights.
    assert found["parameters"] - headless["parameters"] == 32 * 32 + 32 + 2 * 32 + 96 - (32 * 32 + 32)
    assert "Inputs by themselves: input_ids 1x128:int64." in run("networks", source).out
