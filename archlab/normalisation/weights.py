"""Weights in files: what is found in them, what of it goes into a network, and how they are written again.

A checkpoint of torch is any nesting of dictionaries, and a training puts the weights somewhere into it: under `model`,
`state_dict`, `ema`, ... Every place that holds tensors by name is tried on the network, and the one that most of its
tensors go in from is taken. Names may have something in front that the network hasn't: DistributedDataParallel puts
`module.` there, `torch.compile` `_orig_mod.`, a Lightning module the attribute that holds the network. What is in front
of a name is taken off where more tensors go in without it, and said.

For example, {"epoch": 3, "state_dict": {"model._orig_mod.fc.weight": ..., "criterion.weight": ...}} holds for a network
with `fc.weight`: key `state_dict`, prefixes `model.` and `_orig_mod.`, and `criterion.weight` is unexpected.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archlab import files
from archlab.errors import InputError
from archlab.networks.hugging_face.safetensors import checkpoint
from archlab.records.norm_health import LoadedWeights, WrongShape

COMPILED = "_orig_mod."
"""What `torch.compile` puts before the names of what it compiled: anywhere in a name."""
DEPTH = 4
"""Levels of dictionaries that are searched for weights."""
USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "params")
"""Where weights usually lie: of places from which equally many tensors go in, the first of these."""
SAFE_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class WeightsFile:
    """What a file of weights holds."""

    path: Path
    parts: tuple[Path, ...]
    """The file, or the shards that an index names."""
    content: Any
    """As the file has it: name -> tensor, in any nesting for a checkpoint of torch."""
    sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Of a safetensors file."""

    @property
    def is_safe(self) -> bool:
        """Whether it is made of safetensors."""
        return self.parts[0].suffix == SAFE_SUFFIX

    def at(self, key: str) -> Mapping[str, Tensor]:
        """The tensors by name that lie at a key, `model.state_dict`."""
        found = self.content
        for part in filter(None, key.split(".")):
            found = found[part]
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How the tensors of one place of a file go into a network."""

    key: str
    names: Mapping[str, str]
    """Name in the network -> name in the file, of those that go in."""
    loaded: LoadedWeights


def read_weights(path: str | Path) -> WeightsFile:
    """What a file of weights holds; nothing in it is executed.

    Args:
        path: a `.safetensors` file, its index, a folder of them, or a checkpoint that `torch.save` wrote.

    Raises:
        InputError: there is no such file, it can't be read, or it holds more than weights.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"there is no file {path}: expected weights, as .safetensors or as a checkpoint of torch.save")
    if path.is_dir() or path.name.endswith((SAFE_SUFFIX, f"{SAFE_SUFFIX}.index.json")):
        return _safe(path)
    return WeightsFile(path, (path,), _torch(path), sha256((path,)))


def _safe(path: Path) -> WeightsFile:
    from safetensors import safe_open

    folder = path if path.is_dir() else path.parent
    parts = tuple(folder / name for name in checkpoint(path).files)
    tensors: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for part in parts:
        with safe_open(part, framework="pt") as held:
            metadata |= held.metadata() or {}
            tensors |= {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118  it is no mapping
    return WeightsFile(path, parts, tensors, sha256(parts), metadata)


def _torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = next(
            (line.strip() for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), ""
        )
        raise InputError(
            f"{path} holds more than weights, which reading it would execute, so that it is not read"
            + (f" ({wanted})" if wanted else "")
            + ". Where you trust it, load it with torch.load(..., weights_only=False) and save the weights alone: "
            "torch.save(model.state_dict(), FILE)"
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path} can't be read as a checkpoint of torch ({reason}): expected what torch.save(model.state_dict(), "
            "FILE) wrote, or a .safetensors file"
        ) from error


def sha256(parts: tuple[Path, ...]) -> str:
    """Of the bytes of some files, one after the other."""
    digest = hashlib.sha256()
    for part in parts:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def fit(network: nn.Module, held: WeightsFile, key: str | None = None) -> Fit:
    """How the weights of a file go into a network, from the place that fits it best.

    Args:
        network: is not changed.
        held: the file.
        key: of the place; None to look for it.

    Raises:
        InputError: there is no such place, or nothing of the file goes into the network.
    """
    wanted = network.state_dict(keep_vars=True)
    places = dict(_places(held.content))
    if key is not None and key not in places:
        raise InputError(
            f"{held.path} has no weights at {key!r}: it has some at {', '.join(map(repr, places)) or 'no place'}"
        )
    fits = [_fit(held, place, tensors, wanted) for place, tensors in places.items() if key in (None, place)]
    best = max(fits, key=lambda one: (len(one.names), -_unusual(one.key)), default=None)
    if best is None or not best.names:
        raise InputError(_nothing(held, wanted, best))
    others = tuple(one.key for one in fits if one is not best and len(one.names) == len(best.names))
    loaded = LoadedWeights(**{**_fields(best.loaded), "others": others})
    return Fit(best.key, best.names, loaded)


def load(network: nn.Module, held: WeightsFile, found: Fit) -> None:
    """Put the weights into the network, those that go in."""
    tensors = held.at(found.key)
    network.load_state_dict({name: tensors[stored] for name, stored in found.names.items()}, strict=False)


def save(held: WeightsFile, key: str, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the file again in its own format, with other tensors at a place; the rest of it stays as it is.

    Raises:
        InputError: the path is there already.
        StoreError: it can't be written.
    """
    refuse_existing(path, held)
    with files.writing(path), files.replacing(path) as draft:
        if held.is_safe:
            _save_safely({name: value.contiguous() for name, value in tensors.items()}, draft, dict(held.metadata))
        else:
            torch.save(_replaced(held.content, key.split(".") if key else [], tensors), draft)


def _save_safely(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write safetensors for whom any new file is; the library alone would write them for their owner.

    Raises:
        OSError: they can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path.touch()
    mode = path.stat().st_mode
    try:
        save_file(tensors, path, metadata or None)
    except SafetensorError as error:  # it hides what the system said
        raise OSError(str(error)) from error
    path.chmod(mode)


def refuse_existing(path: Path, held: WeightsFile, called: str = "") -> None:
    """Refuse to write over the weights or any other file, or in another format than theirs.

    Raises:
        InputError: the path is there, its folder isn't, or its suffix means another format.
    """
    before = f"{called} " if called else ""
    if any(path.resolve() == part.resolve() for part in held.parts):
        raise InputError(f"{before}{path} is the checkpoint itself, which stays as it is: name another file")
    if path.exists():
        raise InputError(f"{before}{path} is there already and is not written over: name another file")
    if not path.parent.is_dir():
        raise InputError(f"{before}{path} can't be written: there is no folder {path.parent}; make it first")
    if held.is_safe != (path.suffix == SAFE_SUFFIX):
        form = "safetensors" if held.is_safe else "a checkpoint of torch.save"
        raise InputError(
            f"{before}{path}: what is written has the format of the original, {form}; name a file that ends in "
            f"{held.parts[0].suffix or '.pt'}"
        )


def _places(content: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Each dictionary of a content that holds tensors by name, with its key."""
    if not isinstance(content, Mapping) or len(before) > DEPTH:
        return
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield ".".join(before), tensors
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Mapping):
            yield from _places(value, (*before, name))


def _fit(held: WeightsFile, key: str, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Fit:
    prefixes: list[str] = []
    names = {name: name for name in tensors}
    """Name as it is so far -> name in the file."""
    if any(COMPILED in name for name in names) and not any(COMPILED in name for name in wanted):
        names = {name.replace(COMPILED, ""): stored for name, stored in names.items()}
        prefixes.append(COMPILED)
    while True:
        known = len(names.keys() & wanted.keys())
        tried = {prefix: len(_without(names, prefix).keys() & wanted.keys()) for prefix in _prefixes(names)}
        best = max(tried, key=lambda prefix: tried[prefix], default="")
        deeper = best and not tried[best] and not known and len(_prefixes(names)) == 1  # all names begin alike
        if not best or (tried[best] <= known and not deeper):
            break
        names = _without(names, best)
        prefixes.append(best)
    goes_in = {
        name: stored
        for name, stored in names.items()
        if name in wanted and (is_lazy(wanted[name]) or wanted[name].shape == tensors[stored].shape)
    }
    wrong = tuple(
        WrongShape(name, tuple(tensors[names[name]].shape), tuple(wanted[name].shape))
        for name in wanted
        if name in names and name not in goes_in
    )
    loaded = LoadedWeights(
        path=str(held.path),
        sha256=held.sha256,
        key=key,
        prefixes=tuple(prefixes),
        loaded=len(goes_in),
        missing=tuple(name for name in wanted if name not in names),
        unexpected=tuple(stored for name, stored in names.items() if name not in wanted),
        wrong=wrong,
    )
    return Fit(key, goes_in, loaded)


def _prefixes(names: Mapping[str, str]) -> set[str]:
    return {name.partition(".")[0] + "." for name in names if "." in name}


def _without(names: Mapping[str, str], prefix: str) -> dict[str, str]:
    """The names without what is in front; one that hasn't it stays, unless another would then have its name."""
    bare = {name.removeprefix(prefix): stored for name, stored in names.items() if name.startswith(prefix)}
    return bare | {name: stored for name, stored in names.items() if not name.startswith(prefix) and name not in bare}


def _unusual(key: str) -> int:
    last = key.rpartition(".")[2]
    return USUAL_KEYS.index(last) if last in USUAL_KEYS else len(USUAL_KEYS) * bool(key)


def _fields(record: LoadedWeights) -> dict[str, Any]:
    return {name: getattr(record, name) for name in LoadedWeights.__slots__}


def _replaced(content: Any, key: list[str], tensors: Mapping[str, Tensor]) -> Any:
    """The content with other tensors at a place; dictionaries on the way there are new ones, all else is shared."""
    copied = content.copy()
    if key:
        copied[key[0]] = _replaced(content[key[0]], key[1:], tensors)
        return copied
    for name in [name for name, value in content.items() if isinstance(value, Tensor) and name not in tensors]:
        del copied[name]
    copied.update(tensors)
    return copied


def _nothing(held: WeightsFile, wanted: Mapping[str, Tensor], best: Fit | None) -> str:
    if best is None:
        return f"{held.path} holds no tensors by name: expected the state_dict of the network, or a dictionary with one"
    stored, own = (", ".join(list(names)[:3]) or "none" for names in (held.at(best.key), wanted))
    reason = (
        f"{len(best.loaded.wrong):,} names agree and their shapes don't"
        if best.loaded.wrong
        else f"the file has names like {stored}, the network names like {own}"
    )
    return (
        f"none of the {len(held.at(best.key)):,} tensors of {held.path} goes into the network ({reason}): name the "
        "network that it was saved from, with its options (--option num_classes=10)"
    )
