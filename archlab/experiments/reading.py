"""Experiments from files: TOML, which is data and text. Nothing that it names is imported, built or run here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from archlab.analysis.claims import CLAIMABLE, checked_margin
from archlab.analysis.expectations import QUANTITIES
from archlab.errors import InputError, nearest
from archlab.records import TrainingConfig
from archlab.records.experiment import Expectation, Experiment, NamedNetwork, Part
from archlab.records.settings import settings

LIBRARY = Path(__file__).parent / "library"
"""The experiments that come with archlab, a file each."""
_NOT_SET_HERE = ("network", "options", "variant", "seed")


def names() -> list[str]:
    """The names of the experiments that come with archlab."""
    return sorted(path.stem for path in LIBRARY.glob("*.toml"))


def experiment(name: str | Path) -> Experiment:
    """The experiment of a name, or in a file `.toml`.

    Raises:
        InputError: there is none; the file can't be read, or something in it can't be meant.
    """
    path = location(name)
    return _read(path, path.stem)


def location(name: str | Path) -> Path:
    """Where the file of an experiment lies.

    Raises:
        InputError: no experiment has this name.
    """
    path = Path(name)
    if path.suffix == ".toml":
        return path
    if str(name) not in names():
        raise InputError(f"there is no experiment {str(name)!r}: {nearest(str(name), names())}. Or name a FILE.toml")
    return LIBRARY / f"{name}.toml"


def _read(path: Path, name: str) -> Experiment:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no TOML: {error}") from error
    return from_document(document, name, str(path))


def from_document(document: Mapping[str, Any], name: str = "", origin: str = "the document") -> Experiment:
    """The experiment in a TOML document, every name and value of it checked as far as that needs no network.

    Args:
        document: the file's tables.
        name: what the experiment is known by.
        origin: what messages call the document.

    Raises:
        InputError: a key is unknown or missing, or a value can't be meant.
    """
    import msgspec

    _known_keys(document, Experiment, origin, without=("name",))
    for place, part in enumerate(_tables(document, "parts", origin), start=1):
        where = f"{origin}, part {part.get('name', place)!r}"
        _known_keys(part, Part, where)
        for one in _tables(part, "expect", where):
            _known_keys(one, Expectation, where)
        for one in _tables(part, "networks", where):
            _known_keys(one, NamedNetwork, where)
    try:
        found = msgspec.convert({**document, "name": name}, Experiment)
    except msgspec.ValidationError as error:
        raise InputError(f"{origin} is no experiment: {error}") from error
    return _checked(found, origin)


def _tables(document: Mapping[str, Any], key: str, origin: str) -> list[Mapping[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InputError(f"{origin}: {key} is {found!r}, expected tables: [[{key}]]")
    return found


def _known_keys(document: Mapping[str, Any], record: type, origin: str, without: tuple[str, ...] = ()) -> None:
    known = {item.name for item in fields(record)} - set(without)
    for key in document:
        if key not in known:
            raise InputError(f"{origin} has a key {key!r}, which is unknown there: {nearest(key, known)}")


def _checked(found: Experiment, origin: str) -> Experiment:
    if not found.parts:
        raise InputError(f"{origin} has no part, expected one or more: [[parts]]")
    listed = [part.name for part in found.parts]
    if len(set(listed)) < len(listed):
        raise InputError(f"{origin} names its parts {', '.join(listed)}, expected different names")
    _seeds(found.seeds, origin)
    return replace(
        found,
        settings=_settings(found.settings, origin),
        datasets=_datasets(found.datasets, origin),
        parts=tuple(_checked_part(part, f"{origin}, part {part.name!r}") for part in found.parts),
    )


def _checked_part(part: Part, origin: str) -> Part:
    if bool(part.network) == bool(part.networks):
        raise InputError(f"{origin}: expected either network and what it varies, or several networks")
    if part.network and not part.vary:
        raise InputError(f"{origin}: nothing varies, expected vary = {{norm = ['batch', 'none']}}, for instance")
    if part.networks and (part.vary or part.options):
        raise InputError(f"{origin}: networks take no vary and no options beside them: each has options of its own")
    if part.networks and len({one.name or one.network for one in part.networks}) < max(2, len(part.networks)):
        raise InputError(f"{origin}: networks names too few, expected two or more, each with a name of its own")
    if not part.expect:
        raise InputError(f"{origin}: nothing is expected, so that it could tell nothing: [[parts.expect]]")
    if part.metric not in (*CLAIMABLE, *QUANTITIES):
        raise InputError(f"{origin}: metric is {part.metric!r}: {nearest(part.metric, (*CLAIMABLE, *QUANTITIES))}")
    if (part.metric == "max_lr") != bool(part.rates) or len(part.rates) not in (0, 2):
        raise InputError(
            f"{origin}: rates is {list(part.rates)}, expected the lowest and the highest learning rate to try, with "
            "the metric max_lr alone"
        )
    if part.margin is not None:
        checked_margin(part.margin)
    if part.seeds is not None:
        _seeds(part.seeds, origin)
    return replace(part, settings=_settings(part.settings, origin), datasets=_datasets(part.datasets, origin))


def _seeds(count: int, origin: str) -> None:
    if count < 1:
        raise InputError(f"{origin}: seeds is {count}, expected how many: 1 or more")


def _datasets(given: Mapping[str, Mapping[str, Any]], origin: str) -> dict[str, dict[str, Any]]:
    found = {}
    for name, values in given.items():
        found[name] = _settings(values, f"{origin}, data set {name}")
        if "dataset" in found[name]:
            raise InputError(f"{origin}, data set {name}: dataset is set, which is what these settings are for")
    return found


def _settings(given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Settings of trainings, by the names of their fields, in their own types."""
    known = {name: item for name, item in settings(TrainingConfig).items() if name not in _NOT_SET_HERE}
    for name in given:
        if name not in known:
            raise InputError(f"{origin} has a setting {name!r}, which is unknown: {nearest(name, known)}")
    return {name: known[name].parse(value, f"{origin}: {name} is") for name, value in given.items()}
