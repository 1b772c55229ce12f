"""Holds a network to limits, and to a trace that was kept: what a build server asks for."""

from __future__ import annotations

from archlab.analysis.diff import diff
from archlab.analysis.lint import lint as linted
from archlab.analysis.wording import shape_text
from archlab.records import Check, Finding, LayerDiff, MemoryEstimate, Trace


def check(
    trace: Trace,
    against: Trace | None = None,
    *,
    max_parameters: int | None = None,
    max_macs: int | None = None,
    memory: MemoryEstimate | None = None,
    max_memory: int | None = None,
    memory_text: str = "",
    lint: bool = False,
) -> Check:
    """What was found for each limit, and for each layer that differs from the trace that was kept.

    `memory` is what a training step takes, `max_memory` its limit in bytes, and `memory_text` the limit as it was
    given: `24GB`. `lint` asks the rules of `archlab.analysis.lint` too, of a trace with the column `receptive-field`.

    Where an operation of the network has no formula, its MACs are a lower bound: a limit on them can be broken but not
    kept, and the check fails.

    >>> from archlab.records import Totals
    >>> trace = Trace("net", ((1, 8),), (), Totals(1200, 1200, 0, 5000, 10000))
    >>> [finding.text for finding in check(trace, max_parameters=1000).findings]
    ['1,200 parameters, 200 over the limit of 1,000']
    """
    findings: list[Finding] = []
    if max_parameters is not None:
        findings.append(_held("parameters", "parameters", trace.totals.parameters, max_parameters))
    if max_macs is not None:
        findings.append(_held_macs(trace, max_macs))
    if memory is not None and max_memory is not None:
        step = f"bytes at the peak of a training step (batch {memory.batch:,}, {memory.optimizer}, {memory.precision})"
        findings.append(_held("memory", step, memory.peak, max_memory, memory_text))
    if against is not None:
        findings += _same(trace, against)
    if lint:
        findings += linted(trace) or [Finding("lint", True, "no layer that can't earn its keep")]
    return Check(trace.network, tuple(findings))


def _held(subject: str, unit: str, found: int, limit: int, stated: str = "") -> Finding:
    excess = found - limit
    side = f"{excess:,} over" if excess > 0 else f"{-excess:,} under" if excess < 0 else "at"
    bound = f"{limit:,}" + (f" ({stated})" if stated else "")
    return Finding(subject, excess <= 0, f"{found:,} {unit}, {side} the limit of {bound}", found, limit)


def _held_macs(trace: Trace, limit: int) -> Finding:
    finding = _held("macs", "MACs", trace.totals.macs, limit)
    missing = trace.totals.uncounted_operations
    if finding.passed and missing:
        text = f"at least {finding.text}, but the cost of {', '.join(missing)} is not known"
        return Finding("macs", False, text, finding.found, limit)
    return finding


def _same(trace: Trace, kept: Trace) -> list[Finding]:
    found = diff(kept, trace)
    changes = [layer for layer in found.layers if layer.change != "equal"]
    if not changes:
        return [Finding("layers", True, f"{len(found.layers):,} layers, equal to the trace that was kept")]
    totals = [
        Finding(
            name, new == old, f"{new:,} in all, {old:,} kept" + (f" ({new - old:+,})" if new != old else ""), new, old
        )
        for name in ("parameters", "macs")
        for old, new in [(getattr(kept.totals, name), getattr(trace.totals, name))]
    ]
    causes = [layer for place, layer in enumerate(changes) if not _is_explained(changes, place)]
    return [*totals, *(Finding(layer.layer.path, False, describe(layer)) for layer in causes)]


def _is_explained(changes: list[LayerDiff], place: int) -> bool:
    """Whether a row beneath says why this one differs, or one above holds it as a whole."""
    layer = changes[place]
    if layer.change == "changed" and place + 1 < len(changes) and changes[place + 1].depth > layer.depth:
        return "kind" not in layer.fields
    if layer.change in ("added", "removed"):
        above = next((item for item in reversed(changes[:place]) if item.depth < layer.depth), None)
        return above is not None and above.change == layer.change and layer.layer.path.startswith(above.layer.path)
    return False


MAIN_FIELDS = ("kind", "output_shapes", "parameters", "macs")
"""What a changed layer is described by; the other fields only where none of these changed, since they follow."""


def describe(layer: LayerDiff) -> str:
    """What happened to a layer: `changed: output shapes 1x64 -> 1x32, parameters 4,160 -> 2,080 (-2,080)`."""
    before, after = layer.before, layer.after
    if before is None or after is None:
        item = layer.layer
        return f"{layer.change}: {item.kind}, {item.parameters:,} parameters, {item.macs:,} MACs"
    if layer.change == "renamed":
        return f"renamed: was {before.path}"
    parts = []
    for name in [name for name in layer.fields if name in MAIN_FIELDS] or layer.fields:
        old, new = getattr(before, name), getattr(after, name)
        off = f" ({new - old:+,})" if isinstance(old, int) and isinstance(new, int) else ""
        parts.append(f"{name.replace('_', ' ')} {_value(old)} -> {_value(new)}{off}")
    return "changed: " + ", ".join(parts)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(shape_text, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"
