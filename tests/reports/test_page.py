"""The page as HTML text: what is in it, that it is one file, and that no name gets out of its place."""

from __future__ import annotations

import base64
import html
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from archlab.analysis.headline import headline
from archlab.analysis.lint import lint
from archlab.errors import InputError, StoreError
from archlab.records import Comparison, ReceptiveField, Run, Totals, Trace, TrainingConfig
from archlab.reports import index, page, save
from archlab.reports.material import gather
from archlab.reports.resources import plotly, policy, script, style
from archlab.reports.sections.networks import network_names, shape_table
from archlab.reports.text import minus
from archlab.store import Store, open_store
from tests.reports.diagrams import stack
from tests.reports.samples import add_run, comparison_of, experiment, lenet_trace, unlike
from tests.traces import layer, trace

HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "<b>bold</b><a href='javascript:alert(1)'>x</a>",
    "conv\u202egnp.exe\u2066",
    "{{ 7 * 7 }}{% raw %}",
    "=HYPERLINK(1)",
    "__proto__",
)


class Reader(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="archlab-data">(.*?)</script>', text, re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document


def skeleton(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Tags with the names of their attributes: what no name may change."""
    return [(tag, tuple(attributes)) for tag, attributes in Reader(text).tags]


@pytest.fixture
def compared(tmp_path: Path) -> tuple[Store, Comparison]:
    return experiment(tmp_path / "store")


def test_one_file_that_asks_for_nothing(compared: tuple[Store, Comparison]) -> None:
    store, comparison = compared
    text = page([lenet_trace(), comparison], store=store)
    loading = {"src", "srcset", "data", "action", "poster"}
    for tag, attributes in Reader(text).tags:
        assert not loading & set(attributes), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base")
        if "href" in attributes:
            assert (attributes["href"] or "").startswith("#")
        assert not [name for name in attributes if name.startswith("on")]


def test_the_policy_allows_the_page_s_scripts_and_style_by_hash_alone() -> None:
    found = dict(part.split(" ", 1) for part in policy(True).split("; "))
    assert found["default-src"] == "'none'"
    assert re.fullmatch(r"('sha256-[\w+/=]{44}' ?){2}", found["script-src"])
    assert "unsafe-eval" not in policy(True)
    text = page([lenet_trace()])
    assert text.count(f"<script>{script()}</script>") == 1
    assert f"<style>{style()}</style>" in text
    assert html.escape(policy(True), quote=True).replace("&#x27;", "'") in text


def test_plotly_is_in_the_page_once_and_whole() -> None:
    from plotly.offline import get_plotlyjs

    text = page([lenet_trace()])
    assert text.count(plotly().packed) == 1
    unpacked = zlib.decompress(base64.b64decode(plotly().packed)).decode()
    assert unpacked.endswith("})));")
    assert unpacked.replace("this, (() => {", "this, () => {", 1).removesuffix("})));") + "}));" == get_plotlyjs()
    assert "MIT license" in Reader(text).text


def test_findings_come_first_with_their_numbers(compared: tuple[Store, Comparison]) -> None:
    store, comparison = compared
    words = Reader(page([comparison, lenet_trace()], store=store)).text.replace("\u00a0", " ")
    assert len(comparison.findings) >= 2
    found = headline(comparison)
    assert found is not None
    assert words.index(found.text) < words.index(minus(comparison.findings[0]))
    for finding in comparison.findings:
        assert minus(finding) in words
    assert words.index(minus(comparison.findings[0])) < words.index("What was run") < words.index("Layers and shapes")


def test_the_two_accuracies_have_two_names_and_the_statistics_one_each(compared: tuple[Store, Comparison]) -> None:
    html_text = page([compared[1]], store=compared[0])
    rows = re.findall(r'<th scope="row">(test (?:accuracy|loss).*?)</th>', html_text)
    assert {"test accuracy (precise statistics)", "test accuracy in evaluation (running statistics)"} <= set(rows)
    assert {"test accuracy", "test loss"}.isdisjoint(rows)
    charts = html_text[html_text.index('id="archlab-data"') :]
    assert "test accuracy (precise statistics)" in charts
    assert "evaluation (running statistics)" in charts
    assert "population" not in html_text.partition('id="plotly-js"')[0].lower()


def test_contents_link_every_section_in_order(compared: tuple[Store, Comparison]) -> None:
    store, comparison = compared
    reader = Reader(page([lenet_trace(), comparison], store=store))
    anchors = [attributes["id"] for tag, attributes in reader.tags if tag == "section"]
    links = [(attributes["href"] or "")[1:] for tag, attributes in reader.tags if tag == "a" and "href" in attributes]
    assert anchors == [
        "summary",
        "lenet-on-digits",
        "lenet-on-digits-training",
        "lenet-on-digits-differences",
        "lenet-on-digits-verdicts",
        "lenet-on-digits-norm",
        "networks",
        "network-lenet-norm-batch",
        "reproduction",
        "glossary",
    ]
    contents = [link for link in links if link in anchors][1:]  # behind the skip link
    assert contents[: len(anchors)] == anchors
    assert set(contents[len(anchors) :]) == {"lenet-on-digits-norm"}  # no verdict is worse than a note
    identifiers = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_several_comparisons_and_networks_have_their_own_sections(tmp_path: Path) -> None:
    store, first = experiment(tmp_path / "store")
    second = comparison_of([add_run(store, variant, seed) for variant in ("lr=1", "lr=2") for seed in (0, 1)], store)
    other = lenet_trace("tiny")
    reader = Reader(page([lenet_trace(), other, lenet_trace(), first, second], store=store))
    anchors = [attributes["id"] for tag, attributes in reader.tags if tag == "section"]
    assert [anchor for anchor in anchors if anchor and anchor.startswith("network-")] == [
        "network-lenet-norm-batch",
        "network-tiny-norm-batch",
    ]
    named = {"lenet-on-digits-norm-batch-against-norm-none", "lenet-on-digits-lr-1-against-lr-2"}
    assert named | {f"{name}-norm" for name in named} <= set(anchors)


def test_shape_table_holds_every_row_and_leaves_out_what_says_nothing() -> None:
    table = data_of(page([lenet_trace()]))["tables"]["network-lenet-norm-batch"]
    names = [column["name"] for column in table["columns"]]
    assert [row[0] for row in table["rows"]][:2] == ["conv_1", "norm_1"]
    assert [row[-1] for row in table["rows"]] == [1, 1, 1, 1, 2, 2]
    assert sum(row[names.index("parameters")] for row in table["rows"] if row[-1] == 1) == 2_738  # 156 + 12 + 2,570
    assert "saved_bytes" not in names
    assert {"input_shapes", "buffers"} <= set(table["hidden"])


@pytest.mark.parametrize("asked", [False, True])
def test_findings_about_layers_are_those_of_check(asked: bool) -> None:
    image: dict[str, Any] = dict.fromkeys(["input_shapes", "output_shapes"], ((1, 8, 4, 4),))
    image["receptive_field"] = ReceptiveField((1, 1), (1, 1), "exact") if asked else None
    # 8 MACs per output element are 8 * 8 weights; 8 * (8 + 1) parameters have a bias
    conv = layer("conv", "Conv2d", parameters=72, own_parameters=72, macs=128 * 8, inputs=(-1,), **image)
    found = trace(conv, layer("norm", "BatchNorm2d", inputs=(0,), **image))
    words = " ".join(" ".join(Reader(page([found])).words).split())
    assert [finding.text[1:] in words for finding in lint(found)] == [True]
    assert ("receptive fields were not asked" in words) is not asked
    assert "earn their keep" not in " ".join(Reader(page([trace(layer("fc"))])).words)


def test_shape_table_folds_repeats() -> None:
    table = shape_table(stack(12))
    width = len(table["columns"])
    folded = [(row[0], row[width + 1 :]) for row in table["rows"] if len(row) > width + 1]
    assert folded[0] == ("blocks.0-11", [12, -1, 0, "blocks.0"])
    assert folded[1] == ("blocks.0-11.conv_1", [1, 1, 0, "blocks.0.conv_1"])
    assert folded[6] == ("blocks.0", [1, 1, 1, "blocks.0"])
    assert len(folded) == 1 + 5 + 12 * 6
    assert "blocks.0-11 x12" in Reader(page([stack(12)])).text  # without a script


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nothing(name: str, tmp_path: Path) -> None:
    texts = []
    for place, used in enumerate(("harmless", name)):
        store, comparison = experiment(tmp_path / str(place), seeds=2, variants=(used, "norm=none"))
        comparison = replace(
            comparison,
            network=used,
            dataset=used,
            command=used,
            findings=(used,),
            settings={used: used},
            environment={used: used},
        )
        trace = replace(lenet_trace(used, conv=used, kind=used), options={used: used}, notes=(used,))
        texts.append(page([trace, comparison], store=store, title=used, command=used))
    assert skeleton(texts[0]) == skeleton(texts[1])
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", texts[1])
    data_of(texts[1])


def test_a_hostile_name_is_still_shown() -> None:
    reader = Reader(page([lenet_trace(conv="<b>conv</b>\u202e")]))
    assert "<b>conv</b>⟨U+202E⟩" in reader.text


def test_labels_of_charts_can_hold_no_markup() -> None:
    trace = lenet_trace(conv="<a href='x'>conv</a>", network="<b>net</b>")
    panels = data_of(page([trace]))
    text = json.dumps([panels["panels"], panels["pool"]])
    assert "<a" not in text
    assert "&lt;a href='x'&gt;" in text


def test_a_comparison_without_its_runs_shows_what_it_holds(compared: tuple[Store, Comparison]) -> None:
    _, comparison = compared
    text = page([comparison])
    words = Reader(text).text
    assert "6 of the comparison's runs can't be found" in words
    assert set(data_of(text)["panels"]) == {"lenet-on-digits-outcome", "lenet-on-digits-differences"}


@pytest.mark.parametrize(("count", "strips"), [(1, False), (3, True)])
def test_a_single_run_has_no_strip_of_dots(count: int, strips: bool, tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store")
    text = page([store.run(key) for key in comparison.runs[:count]], store=store)
    assert ('<td class="strip"><svg' in text) is strips
    assert ("Of one run, after the last epoch." in text) is not strips


def test_loose_runs_are_grouped_by_what_was_trained(tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store")
    runs = store.runs()
    other = replace(runs[0], config=replace(runs[0].config, dataset="fashion-mnist"), key="other")
    panels = data_of(page([*runs, other], store=store))["panels"]
    assert {"lenet-on-digits-training", "lenet-on-digits-norm", "lenet-on-fashion-mnist-training"} <= set(panels)
    assert "lenet-on-digits-differences" not in panels


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_runs_without_an_epoch_have_an_empty_state(status: Any, tmp_path: Path) -> None:
    store, _ = experiment(tmp_path / "store", seeds=1)
    run = replace(store.runs()[0], epochs=(), status=status, error="loss is NaN")
    words = Reader(page([run])).text
    assert "no run has ended an epoch" in words
    assert f"is {status}: loss is NaN" in words


def test_damaged_recordings_are_reported_and_not_fatal(compared: tuple[Store, Comparison]) -> None:
    store, comparison = compared
    for path in (store.path / "runs").glob("*/norms.safetensors"):
        path.write_bytes(b"damaged")
    words = Reader(page([comparison], store=store)).text
    assert "norms.safetensors is damaged" in words
    assert "BatchNorm over training" not in words


def test_a_failed_trace_and_an_empty_one(tmp_path: Path) -> None:
    empty = Trace("linear", ((1, 4),), (), Totals(0, 0, 0, 0, 0))
    words = Reader(page([empty])).text
    assert "linear on 1×4 has 0 parameters" in words


@pytest.mark.parametrize("items", [[], ["densenet"], [None]])
def test_what_is_no_record_is_refused(items: Any) -> None:
    with pytest.raises(InputError, match=r"Trace|Run"):
        page(items)


def test_pages_are_the_same_each_time(compared: tuple[Store, Comparison]) -> None:
    store, comparison = compared
    assert page([comparison, lenet_trace()], store=store) == page([comparison, lenet_trace()], store=store)


def test_save_replaces_at_once_and_names_what_is_missing(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    target.write_text("old")
    assert save(target, [lenet_trace()]) == target
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="there is no folder"):
        save(tmp_path / "missing" / "report.html", [lenet_trace()])
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="folder"):
        save(tmp_path / "folder", [lenet_trace()])


def test_index_links_every_report(tmp_path: Path) -> None:
    store, comparison = experiment(tmp_path / "store")
    loose = add_run(store, "norm=group", 7)
    text = index([(comparison, "a%20b.html")], store.runs(), "runs.html")
    reader = Reader(text)
    links = [attributes.get("href") for tag, attributes in reader.tags if tag == "a"]
    assert {"a%20b.html", "runs.html"} <= set(links)
    drawn = [attributes for tag, attributes in reader.tags if tag == "polyline"]
    levels = [line["points"] for line in drawn if line["class"] == "chance"]  # one in each of the two thumbnails
    assert len(levels) == 2
    assert all(len({point.partition(",")[2] for point in (level or "").split()}) == 1 for level in levels)
    lines = [line for line in drawn if line["class"] != "chance"]
    assert len(lines) == 3  # two variants of the comparison, one loose run
    assert all(len((line["points"] or "").split()) == 3 for line in lines)  # an epoch each
    found = headline(comparison)
    assert found is not None
    assert found.text in reader.text.replace("\u00a0", " ")
    assert isinstance(loose, Run)
    assert plotly().packed not in text
    assert "1 comparison and 1 other run" in reader.text
    assert "lenet on digits: norm=batch against norm=none" in reader.text  # links differ in what they say
    runs = [run for run in store.runs() if run.config.variant == "norm=group"]
    ends = [epoch.test_accuracy or 0.0 for run in runs for epoch in run.epochs]
    assert (
        f"Test accuracy by epoch, {100 * min(ends):.2f} % to {100 * max(ends):.2f} %; dotted: chance, 10.00 %"
        in reader.text
    )


def test_experiments_of_one_network_are_told_apart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    runs = {name: add_run(store, name, 0) for name in ("a", "b", "c", "d", "e")}

    def titles(*items: Comparison | Run) -> list[str]:
        return [found.title for found in gather(items, store).experiments]

    first, second = comparison_of([runs["a"], runs["b"]]), comparison_of([runs[name] for name in "abcd"])
    assert titles(first) == titles(first, first) == ["lenet on digits"]
    assert titles(first, second, runs["e"]) == [
        "lenet on digits: a against b",
        "lenet on digits: 4 variants",
        "lenet on digits: other runs",
    ]
    assert "<h1><bdi>lenet on digits</bdi></h1>" in page([first, second, runs["e"]], store=store)
    again = replace(first, created="2026-01-02T03:04:05+00:00", findings=())
    assert titles(replace(first, created="2026-01-01T00:00:00+00:00"), again) == [
        "lenet on digits: a against b, 2026-01-01 00:00",
        "lenet on digits: a against b, 2026-01-02 03:04",
    ]


def test_the_index_of_a_run_that_broke_off_at_once() -> None:
    run = Run("key", TrainingConfig(), "failed", created="2026-01-02T03:04:00+00:00")
    text = Reader(index([], [run], "runs.html")).text
    assert "Contents 1 run" in text
    assert "2026-01-02 03:04 +0000 · 1 run" in text
    assert "No run has ended an epoch." in text


def test_a_report_is_redrawn_from_json_without_torch(compared: tuple[Store, Comparison], tmp_path: Path) -> None:
    store, comparison = compared
    (tmp_path / "comparison.json").write_text(comparison.to_json())
    (tmp_path / "trace.json").write_text(lenet_trace().to_json())
    code = f"""
import sys
from archlab.records import Comparison, Trace
from archlab.reports import save
from archlab.store import open_store
items = [Comparison.read("comparison.json"), Trace.read("trace.json")]
save("report.html", items, store=open_store({str(store.path)!r}))
print(sorted(name for name in ("torch", "reports", "cli", "typer", "pandas", "sklearn") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


@pytest.mark.parametrize(("networks", "folded"), [(1, 0), (2, 0), (3, 2)])
def test_of_many_networks_the_first_is_open(networks: int, folded: int) -> None:
    html = page([unlike(place) for place in range(networks)])
    assert html.count("<details><summary><h3") == folded
    assert html.count('class="part"') == networks


def test_of_two_networks_that_are_nearly_equal_one_is_a_table_of_differences() -> None:
    first = lenet_trace()
    *others, last = first.layers
    other = replace(first, options={"norm": "none"}, layers=(*others, replace(last, parameters=2_571)))
    html = page([first, other])
    part = html[html.index('<section id="network-lenet-norm-none"') :]
    assert part.count("All other layers are as in") == 1
    rows = re.findall(r'<th scope="row"><bdi>([^<]*)</bdi></th>', part[: part.index("<details>")])
    assert rows == ["head", "head.linear", "total"]
    assert "All of <bdi>lenet (norm=none)</bdi>: diagram, layers, growth" in part
    assert page([first, replace(first, network="same")]).count("Every layer is as in") == 1


@pytest.mark.parametrize(
    ("options", "inputs", "names"),
    [
        pytest.param([{"depth": "56"}], [32], ["lenet (depth=56)"], id="one keeps what it was built with"),
        pytest.param(
            [{"size": "28", "norm": "batch"}, {"size": "28", "norm": "none"}],
            [28, 28],
            ["lenet (norm=batch)", "lenet (norm=none)"],
            id="what both share sets nothing apart",
        ),
        pytest.param([{}, {"norm": "none"}], [28, 28], ["lenet", "lenet (norm=none)"], id="a default"),
        pytest.param([{}, {}], [28, 32], ["lenet (1x1x28x28)", "lenet (1x1x32x32)"], id="two sizes"),
    ],
)
def test_networks_are_named_by_what_sets_them_apart(
    options: list[dict[str, str]], inputs: list[int], names: list[str]
) -> None:
    traces = [
        replace(lenet_trace(), options=chosen, inputs=((1, 1, size, size),))
        for chosen, size in zip(options, inputs, strict=True)
    ]
    assert network_names(traces) == names
