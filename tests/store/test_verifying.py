"""Hashes, what verify finds by them, and what repair does about it."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from archlab.errors import InputError, StoreError
from archlab.records import Probes, Run
from archlab.store import Store, contents, lock, open_store
from archlab.store.leftovers import leftovers
from archlab.store.reading import DeniedError, NewerError, reading
from archlab.store.repairing import repairs
from archlab.store.sealing import check_seal, sealed
from archlab.store.verifying import verify
from tests.store.test_store import (
    CONFIG,
    CURVES,
    ENVIRONMENT,
    as_an_older_archlab_wrote_it,
    comparison,
    epoch,
    kill_a_writer,
    landscape,
    smoothness,
    write,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def folder_of(store: Store, run: Run) -> Path:
    return store.path / "runs" / run.key


def states(store: Store, *keys: str) -> dict[str, str]:
    return {one.name: one.state for one in verify(store, keys).found}


def repair(store: Store, *keys: str) -> list[str]:
    said = []
    for one in repairs(store, keys):
        one.act()
        said.append(one.said.partition(" ")[0])
    return said


def flip(path: Path, place: int = 200) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


class TestSeals:
    def test_every_flipped_bit_is_seen(self) -> None:
        whole = sealed(json.dumps({"a": 1, "b": "é"}, indent=2)).encode()
        assert check_seal(whole)
        assert check_seal(whole + b"\n")
        assert json.loads(whole) == {"a": 1, "b": "é", "sha256": json.loads(whole)["sha256"]}
        for place in range(8 * len(whole)):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << place % 8
            with pytest.raises(StoreError, match="it is damaged"):
                check_seal(bytes(damaged))

    @pytest.mark.parametrize("content", [b"", b"{}", b'{\n  "a": 1\n}', b"\xff" * 300])
    def test_what_has_none_is_an_older_archlab_s(self, content: bytes) -> None:
        assert not check_seal(content)


class TestContents:
    def test_a_kill_while_a_file_is_renewed_does_no_harm(self, store: Store) -> None:
        with store.writer(CONFIG, ENVIRONMENT) as writer:
            writer.append(epoch(1))
            run = writer.finish(CURVES, probes=Probes(smoothness()))
        path = folder_of(store, run) / "probes.safetensors"
        old = path.read_bytes()
        with suppress(KeyboardInterrupt), contents.renewing(path) as draft:
            draft.write_bytes(b"half")
            raise KeyboardInterrupt
        assert states(store) == {run.key: "whole"}
        with contents.renewing(path) as draft:
            draft.write_bytes(b"new")
        known = contents.load(path.parent)
        assert known is not None
        assert (known.files[path.name], known.renewing) == (contents.sum_of(path), {})
        before = contents.Sum(contents.digest(old), len(old))
        # As a process leaves it that is killed before it has renamed the draft, or behind that.
        coming = {path.name: contents.sum_of(path)}
        contents.announce(path.parent, contents.Contents({**known.files, path.name: before}, coming))
        for content in (old, b"new"):
            path.write_bytes(content)
            assert states(store) == {run.key: "whole"}
        path.write_bytes(b"other")
        assert states(store) == {run.key: "damaged"}

    def test_a_landscape_has_its_hash(self, store: Store) -> None:
        run = write(store)
        with store.landscape_draft(run.key) as draft:
            draft.finish(landscape())
        assert states(store) == {run.key: "whole"}
        flip(folder_of(store, run) / "probes.safetensors")
        with pytest.raises(StoreError, match=r"probes\.safetensors is damaged"), store.landscape_draft(run.key):
            pass
        held = lock.claim(store.path / "locks" / f"{run.key}.landscape")
        assert held is not None, "whoever is refused holds nothing"
        lock.disclaim(held)


Damage = Callable[[Path], object]


@pytest.mark.parametrize(
    ("damage", "done", "after"),
    [
        (lambda at: flip(at / "norms.safetensors"), ["move"], "whole"),
        (lambda at: (at / "curves.safetensors").unlink(), ["take"], "whole"),
        (lambda at: flip(at / "metrics.jsonl"), ["move", "write"], "whole"),
        (lambda at: (at / "metrics.jsonl").unlink(), ["write"], "whole"),
        (lambda at: (at / "probes.safetensors").write_bytes(b"mine"), ["move"], "whole"),
        (lambda at: flip(at / "contents.json"), ["move", "write"], "whole"),
        (lambda at: (at / "contents.json").unlink(), ["write"], "whole"),
        (lambda at: flip(at / "run.json"), ["move"], None),
        (lambda at: (at / "run.json").unlink(), ["move"], None),
        (lambda at: (at / "run.json").write_bytes(b"\xff\xfe"), ["move"], None),
        (lambda at: (at / "run.json").write_text("[" * 100_000), ["move"], None),
    ],
)
def test_damage_is_found_and_repaired(store: Store, damage: Damage, done: list[str], after: str | None) -> None:
    run, other = write(store), write(store, replace(CONFIG, seed=1))
    damage(folder_of(store, run))
    assert states(store) == {run.key: "damaged", other.key: "whole"}
    files = sorted(store.path.rglob("*"))
    assert [one.said.partition(" ")[0] for one in repairs(store)][:1] == done[:1]
    assert sorted(store.path.rglob("*")) == files
    assert repair(store) == done
    assert states(store) == {other.key: "whole"} | ({} if after is None else {run.key: after})
    assert store.problems() == []
    assert repair(store) == []


def test_runs_of_an_older_archlab_get_hashes(store: Store) -> None:
    run = write(store)
    kept = store.save_comparison(comparison())
    as_an_older_archlab_wrote_it(store, run)
    (store.path / "comparisons" / f"{kept.key}.json").write_text(kept.to_json())
    assert states(store) == {run.key: "no hashes", kept.key: "no hashes"}
    assert repair(store) == ["write", "write"]
    assert states(store) == {run.key: "whole", kept.key: "whole"}
    assert (store.runs(), store.comparisons()) == ([run], [kept])


def test_bytes_that_are_no_letters_are_damage_wherever_they_stand(store: Store) -> None:
    """Also in a field that no record has, whose bytes are skipped as they are."""
    run = write(store)
    kept = store.save_comparison(comparison())
    as_an_older_archlab_wrote_it(store, run)
    path = store.path / "comparisons" / f"{kept.key}.json"
    path.write_text(kept.to_json())
    for document in (folder_of(store, run) / "run.json", path):
        document.write_bytes(document.read_bytes().rstrip().removesuffix(b"}") + b', "more": "\xe9"}')
    assert states(store) == {run.key: "damaged", kept.key: "damaged"}
    assert repair(store) == ["move", "move"]
    assert states(store) == {}


def test_what_was_cut_short_loses_its_last_line(store: Store) -> None:
    key = kill_a_writer(store)
    (metrics,) = store.path.rglob("metrics.jsonl")
    with metrics.open("a") as file:
        file.write('{"epoch": 2, "st')
    assert states(store, key) == {key: "interrupted"}
    assert repair(store) == ["drop"]
    assert metrics.read_text().endswith("}\n")
    assert store.run(key).epochs == (epoch(1),)


@pytest.mark.parametrize("schema", ["run.json", "contents.json"])
def test_what_a_newer_archlab_wrote_is_left_alone(store: Store, schema: str) -> None:
    run = write(store)
    path = folder_of(store, run) / schema
    document = json.loads(path.read_text())
    document.pop("sha256")
    path.write_text(sealed(json.dumps(document | {"schema": document["schema"][:-1] + "2"}, indent=2)))
    assert states(store) == {run.key: "newer"}
    before = path.read_bytes()
    assert repair(store) == []
    assert path.read_bytes() == before
    if schema == "run.json":
        with pytest.raises(NewerError, match="a newer archlab wrote it"):
            store.result(run.key)
    store.delete(run.key)
    assert states(store) == {}


def test_interrupted_runs_of_a_newer_archlab_are_not_cleared(store: Store) -> None:
    kill_a_writer(store)
    (path,) = store.path.rglob("*.partial/run.json")
    path.write_text(path.read_text().replace("archlab.run/1", "archlab.run/2").partition(',\n  "sha256"')[0] + "\n}")
    write(store)
    assert path.exists()


def test_what_a_user_may_not_read_is_no_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write(store)

    def deny(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("archlab.files.open_regular", deny)
    assert states(store) == {run.key: "no access"}
    assert repair(store) == []
    with pytest.raises(DeniedError):
        store.result(run.key)


def test_a_lost_trace_is_named_no_more(store: Store) -> None:
    from tests.reports.samples import lenet_trace

    with store.writer(CONFIG, ENVIRONMENT, trace=lenet_trace()) as writer:
        writer.append(epoch(1))
        run = writer.finish(CURVES)
    flip(store.path / "traces" / f"{run.trace}.json")
    assert states(store) == {run.key: "whole", run.trace: "damaged"}
    assert repair(store) == ["move", "have"]
    assert states(store) == {run.key: "whole"}
    assert store.run(run.key) == replace(run, trace="")


def test_leftovers_are_swept_when_their_writer_is_gone(store: Store) -> None:
    run = write(store)
    runs = store.path / "runs"
    with store.writer(replace(CONFIG, seed=5), ENVIRONMENT) as writer:
        (going,) = runs.glob("*.partial")
        old = [runs / ".0123abcd", runs / f".{run.key}.0123abcd", going / ".norms.safetensors.0123abcd"]
        old += [store.path / "comparisons" / ".x.json.0123abcd", store.path / "locks" / "y.training"]
        aside = runs / ".gone.0123abcd"
        for path in (*old, aside, runs / ".fresh.0123abcd"):
            path.parent.mkdir(exist_ok=True)
            path.write_text("x")
        held = lock.claim(store.path / "locks" / "z.training")
        assert held is not None
        for path in (*old, aside, Path(held.lock_file)):
            os.utime(path, (1e9, 1e9))
        left = {one.path for one in leftovers(store.path)}
        assert left == {*old, aside} - {old[2]}  # whose writer is there
        write(store, replace(CONFIG, seed=6))  # which sweeps
        assert leftovers(store.path) == []
        assert (runs / "gone").exists(), "a run that was renamed aside, and none came in its place"
        assert Path(held.lock_file).exists()
        assert old[2].exists()
        lock.disclaim(held)
        writer.append(epoch(1))
        writer.finish({})


def test_a_run_that_had_ended_but_for_its_name_gets_it(store: Store) -> None:
    run = write(store)
    folder_of(store, run).rename(store.path / "runs" / f"{run.key}~0123abcd.partial")
    assert store.run(run.key).status == "interrupted"
    assert repair(store) == ["give"]
    assert store.run(run.key) == run


def test_keys_are_known(store: Store) -> None:
    run = write(store)
    write(store, replace(CONFIG, seed=1))
    assert list(states(store, run.key)) == [run.key]
    for look in (lambda: verify(store, ["x"]), lambda: list(repairs(store, ["x"]))):
        with pytest.raises(InputError, match="no run or comparison 'x'"):
            look()


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        RecursionError(),
        MemoryError(),
        OverflowError("x"),
        KeyError(1),
    ],
)
def test_whatever_reading_raises_is_one_error(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(StoreError, match="file can't be read: "), reading(tmp_path / "file"):
        raise error


def test_our_own_mistakes_are_none_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(NameError), reading(tmp_path):
        raise NameError("x")
