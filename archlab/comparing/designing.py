"""What a comparison trains: the variants that a configuration gives when some of its settings vary."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

from archlab.errors import InputError, SourceError, nearest
from archlab.records import TrainingConfig, Value
from archlab.records.config import NORMS, WITH_MOMENTUM, consistent
from archlab.records.display import Shown
from archlab.records.settings import settings, varying

if TYPE_CHECKING:
    from archlab.networks import Source


@dataclass(frozen=True, slots=True)
class Design(Shown):
    """What is to be trained: each variant with each seed."""

    variants: tuple[TrainingConfig, ...]
    """One configuration per variant, the baseline first; their seed has no meaning."""
    seeds: tuple[int, ...]
    sources: tuple[Source, ...] = ()
    """The network, where it was given as an object that its name in the configurations may not find."""

    @property
    def configs(self) -> list[TrainingConfig]:
        """The configuration of every run, seed by seed, so that an interruption leaves whole pairs."""
        return [replace(variant, seed=seed) for seed in self.seeds for variant in self.variants]


def design(
    network: object,
    *,
    bn: str | None = None,
    skip: str | None = None,
    vary: Mapping[str, Sequence[Value]] | Iterable[tuple[str, Sequence[Value]]] = (),
    seeds: int | Sequence[int] = 6,
    **chosen: Any,
) -> Design:
    """The design that varies a configuration; every network of it can be built.

    Args:
        network: its source; a class or function that gives a module; a module, which all variants begin from; or the
            configuration that all variants share.
        bn: normalise with BatchNorm (`on`), nothing (`off`), `group`, `layer`, `instance`, BatchNorm from `scratch`, or
            `frozen` statistics, against what it has.
        skip: skip connections `on` or `off`, against what it has.
        vary: name of an option of the network, or of a setting that can vary -> the values, the baseline's first; or
            such pairs.
        seeds: how many, from 0, or which.
        chosen: fields of `TrainingConfig`; several values of a setting that can vary join those of `vary`.

    Raises:
        InputError: nothing varies, or something can't vary so.
    """
    from archlab.networks.given import config_of, source_of

    for name in ("seed", "variant"):
        if name in chosen:
            raise InputError(f"{name} was given, which a comparison decides itself: name its seeds as seeds=[3, 4]")
    single, several = _divided(chosen)
    base, given = config_of(network, single)
    source = given or source_of(base.network, base.options)
    base = replace(base, options=dict(source.options))
    factors: dict[str, tuple[Value, ...]] = {}
    for name, value in (("norm", _norm(bn)), ("skip", skip)):
        if value is not None:
            current, wanted = _switch(source, name, value)
            if current == wanted:
                base = replace(base, options={**base.options, name: wanted})
            else:
                factors[name] = (current, wanted)
    switched, pairs = set(factors), list(vary.items() if isinstance(vary, Mapping) else vary)
    for name, values in [*several.items(), *pairs]:
        if name in switched or (name in source.options and name not in several):
            raise InputError(f"{name} is set or varied already: leave one of them out")
        if name in factors:
            raise InputError(f"{name} is varied twice: leave one of them out")
        factors[name] = _levels(source, name, values, as_setting=name in several)
    if not factors:
        raise InputError(
            f"nothing varies, so that there is nothing to compare {base.network} with: vary its normalisation (--bn "
            "off), skip connections (--skip off), the learning rate (--lr 0.001,0.01), or any option (--vary K=V,V)"
        )
    variants = tuple(
        _variant(base, dict(zip(factors, values, strict=True)), source, several)
        for values in itertools.product(*factors.values())
    )
    if base.until and len({variant.epochs for variant in variants}) > 1:
        raise InputError(
            f"epochs is varied, and until is {base.until!r}: runs that don't reach it would be held against others "
            "that had longer for it. Leave one of them out"
        )
    if "momentum" in several and not any(_has_batchnorm(source, variant) for variant in variants):
        raise InputError(
            f"momentum is varied, and no layer of {base.network} is BatchNorm: all variants would be equal"
        )
    return Design(variants, seeds_of(seeds), (source,) if given or source.local else ())


def _has_batchnorm(source: Source, variant: TrainingConfig) -> bool:
    from archlab.training.norms import norm_layers

    layers = norm_layers(source.with_options(variant.options).build("meta").train())
    return not all(layer.is_frozen for layer in layers)


def _divided(chosen: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Sequence[Value]]]:
    """The settings that have one value, by their field; and those that have several, by the name they vary under.

    The learning rate comes first: variants are named in this order, and a run's key holds its variant's name.
    """
    known = settings(TrainingConfig)
    single: dict[str, Any] = {}
    several: dict[str, Sequence[Value]] = {}
    for name, value in chosen.items():
        scalar = isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0
        if scalar or name not in known or not known[name].varies:
            single[name] = value
            continue
        values = _listed(value)
        if isinstance(value, (Set, Mapping)):
            raise InputError(f"{name} is {value!r}, expected values in an order, the baseline's first: {name}=[A, B]")
        if not values:
            raise InputError(f"no value was given where one or more are expected: {name}={known[name].default}")
        if len(values) == 1:
            single[name] = values[0]
        else:
            several[known[name].name] = values
    return single, dict(sorted(several.items(), key=lambda item: item[0] != "lr"))


def _norm(bn: str | None) -> str | None:
    if bn is not None and bn not in NORMS:
        raise InputError(f"bn is {bn!r}, expected one of {', '.join(NORMS)}")
    return None if bn is None else NORMS[bn]


def _switch(source: Source, name: str, value: str) -> tuple[Value, Value]:
    """What an option of the network is, and what a switch makes it."""
    from archlab.networks.options import plain_value

    option = source.available.get(name)
    if option is None:
        what = {"norm": "normalisation", "skip": "skip connections"}[name]
        raise InputError(
            f"{source.name} has no {what} to switch: it has no option {name!r}. "
            f"Its options: {', '.join(source.available) or 'none'}"
        )
    current = source.options.get(name, plain_value(option.default))
    return current, plain_value(option.convert(value, source.name))


def _levels(source: Source, name: str, values: Sequence[Value], *, as_setting: bool) -> tuple[Value, ...]:
    """The values that vary, in their own types.

    Of an option of the network and a setting of the same name, `vary` means the option; `momentum=[0.1, 0.2]` in a call
    and `--momentum 0.1,0.2` mean the setting.
    """
    from archlab.networks.options import plain_value

    listed = _listed(values)
    if len(listed) < 2:
        raise InputError(
            f"{name} is to vary over {values!r}, expected two values or more, the baseline's first: {name}=A,B. "
            "What is the same for all is set as an option"
        )
    known = varying(TrainingConfig)
    if name in source.available and not as_setting:
        found = tuple(plain_value(source.available[name].convert(value, source.name)) for value in listed)
    elif name in known:
        found = tuple(known[name].parse(value) for value in listed)
    else:
        raise SourceError(f"{source.name} has no option {name!r}: {nearest(name, {*source.available, *known})}")
    if len(set(found)) < len(found):
        raise InputError(f"{name} is to vary over {', '.join(map(str, found))}: each value can be there once")
    return found


def _variant(
    base: TrainingConfig, chosen: Mapping[str, Value], source: Source, as_settings: Collection[str]
) -> TrainingConfig:
    options = {name: value for name, value in chosen.items() if name in source.available and name not in as_settings}
    fields = {varying(TrainingConfig)[name].field: value for name, value in chosen.items() if name not in options}
    if "optimizer" in fields and "sgd_momentum" not in fields and fields["optimizer"] not in WITH_MOMENTUM:
        fields["sgd_momentum"] = 0.0  # what all share is meant for the optimisers that have it
    name = ", ".join(
        f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in chosen.items()
    )
    found = source.with_options({**base.options, **options})
    found.build("meta")  # what can't be built is refused before anything trains
    return consistent(replace(base, variant=name, options=dict(found.options), **fields))  # type: ignore[arg-type]


def seeds_of(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """The seeds that are meant: so many from 0 on, or those that are named.

    Raises:
        InputError: there is none, one is below 0, or one is named twice.

    >>> seeds_of(3), seeds_of([7, 5])
    ((0, 1, 2), (7, 5))
    """
    counted = isinstance(seeds, Integral) and not isinstance(seeds, bool)
    found = tuple(range(int(seeds))) if counted else _listed(seeds)  # type: ignore[arg-type]
    whole = all(isinstance(seed, Integral) and int(seed) >= 0 for seed in found)
    if not found or not whole or len(set(found)) < len(found):
        raise InputError(f"seeds is {seeds!r}, expected how many (1 or more), or different ones from 0 on")
    return tuple(map(int, found))


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds as `--seeds` takes them.

    >>> seeds_text((0, 1, 2)), seeds_text((100, 101, 102)), seeds_text((3, 5))
    ('3', '100-102', '3,5')
    """
    first, count = seeds[0], len(seeds)
    if tuple(seeds) != tuple(range(first, first + count)):
        return ",".join(map(str, seeds))
    return f"{first}-{first + count - 1}" if first else str(count)


def _listed(values: object) -> tuple[Any, ...]:
    """The values of what has them in an order, as a list has; none of anything else."""
    if isinstance(values, (str, Set, Mapping)) or not isinstance(values, Iterable):
        return ()
    return tuple(values)
