"""From a network and its inputs to a profile.

Counting semantics
------------------
A pass is cut into segments, each of which belongs to one row or to what lies between the rows (`recorder.py`,
`backward.py`), so that the rows at depth 1 and the rest sum to the pass, exactly. Medians and quartiles are over the
passes; a sum of medians isn't the median of the sums, but near it. In turns with each of them the network runs with
nothing attached: that is the whole pass, which the sum is held against. What marks cost is taken off (`cost.py`).

The time of a row is that of its own call: on a processor Python and all that it computes; on a CUDA device the device's
own time, from the end of what ran before to its own end, with the whole pass in the queue already (`clock.py`). There
the whole pass can take longer than the rows: the device then waits for the processor to ask. The backward pass starts
from gradients of ones at the network's outputs: no loss, no optimiser.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import nn

from archlab.profiling.attribution import NETWORK, parents_of
from archlab.profiling.clock import Clock
from archlab.profiling.machine import machine_of
from archlab.profiling.passes import Direction, Progress, Times, measured
from archlab.profiling.subject import Subject
from archlab.records import Layer, LayerTime, Machine, Profile, Timing, Trace, Value

if TYPE_CHECKING:
    from archlab.networks import Source


def profile(
    network: str | Source | nn.Module,
    inputs: object = None,
    *,
    batch: int | None = None,
    backward: bool = False,
    device: str | None = None,
    repeats: int | None = None,
    machine: Machine | None = None,
    clock: Clock | None = None,
    progress: Progress | None = None,
    **options: Value,
) -> Profile:
    """The measured time of each layer, forward and if wanted backward, beside what this machine reaches.

    The network runs in earnest, with its weights and on random inputs, several times. One that is named is built with
    first weights, in evaluation mode; with `backward` in training mode, as a training step runs it. One that is given
    is run in the mode that it is in, on copies of its tensors, and is left as it was found: statistics, modes, hooks
    and random states, also after an exception. Without `backward` no gradients are recorded.

    Args:
        network: a source or a module, as for `archlab.trace`.
        inputs: as for `archlab.trace`; what has no values gets random numbers, or zeros where it is of integers.
        batch: replaces the first size of every shape.
        backward: time the backward pass too.
        device: `cpu`, `cuda`, ...; None for where a given module is, and for a source an accelerator if there is one.
        repeats: passes to take the median over, 5 at least; None for as many as fit into a few seconds.
        machine: what the machine reaches, of an earlier profile; None to measure it, once in a process.
        clock: what time is read from; None for the device's own.
        progress: is told how many of how many passes are done.
        options: what to build the network with, where it is a source's name.

    Raises:
        InputError: the source, an option, an input, the device or the repeats are wrong.
        ForwardError: the network doesn't take the inputs or the memory, or doesn't call the same layers each time.

    >>> found = profile("lenet", repeats=5, device="cpu")
    >>> found.layers[0].path, found.layers[0].forward.median > 0
    ('conv_1', True)
    """
    subject = Subject(network, inputs, batch, options, backward=backward, device=device)
    times = measured(subject, repeats, clock, progress)
    return _profile(subject, times, machine or machine_of(subject.device, subject.dtype))


def timed_trace(
    network: str | Source | nn.Module,
    inputs: object = None,
    *,
    batch: int | None = None,
    device: str | None = None,
    columns: Iterable[str] = (),
    **options: Value,
) -> Trace:
    """The trace with the median time of each layer's forward pass as `seconds`.

    Arguments are those of `archlab.trace`, and `device`, as for `profile`; errors are those of both.
    """
    subject = Subject(network, inputs, batch, options, device=device, columns=columns)
    times = measured(subject, None, None, None)
    return _timed(subject.trace, times)


def _timed(trace: Trace, times: Times) -> Trace:
    """The trace with seconds in the rows that have a time of their own."""
    taken = set(times.rows)
    layers = tuple(
        replace(layer, seconds=timing.median) if row in taken else layer
        for row, (layer, timing) in enumerate(zip(trace.layers, _timings(times.forward.rows), strict=True))
    )
    return replace(trace, layers=layers)


def _timings(passes: list[list[float]]) -> list[Timing]:
    """The quartiles of each row over the passes."""
    return [Timing.of(seconds) for seconds in zip(*passes, strict=True)]


def _profile(subject: Subject, times: Times, machine: Machine) -> Profile:
    forward, backward, trace = times.forward, times.backward, subject.trace
    return Profile(
        network=trace.network,
        inputs=trace.inputs,
        machine=machine,
        mode=subject.mode,
        repeats=len(forward.bare),
        warm_up=times.warm_up,
        forward=Timing.of(forward.bare),
        layers=_layers(trace, times),
        rest=_timings(forward.own)[NETWORK],
        trace=_timed(trace, times),
        backward=Timing.of(backward.bare) if backward else None,
        backward_rest=_timings(backward.own)[NETWORK] if backward else None,
        measuring=Timing.of(forward.measuring).median,
        backward_measuring=Timing.of(backward.measuring).median if backward else 0.0,
        summed=_summed(forward),
        backward_summed=_summed(backward) if backward else None,
        queued=times.queued,
        options=trace.options,
    )


def _summed(direction: Direction) -> Timing:
    """The quartiles of what all rows and the rest sum to in each pass."""
    return Timing.of([sum(own) for own in direction.own])


def _layers(trace: Trace, times: Times) -> tuple[LayerTime, ...]:
    taken = set(times.rows)
    holders = {parent for row, parent in enumerate(parents_of(trace.layers)) if row in taken}
    moved: dict[int, int | None] = {}
    for span, row in enumerate(times.rows):
        moved.setdefault(row, times.noted.bytes.get(span))  # the first is the row's own, others lie in it
    forward, backward = _quartiles(times.forward), _quartiles(times.backward)

    def layer_time(row: int, layer: Layer) -> LayerTime:
        is_timed = row in taken
        own = is_timed and row in holders
        return LayerTime(
            path=layer.path,
            kind=layer.kind,
            depth=layer.depth,
            call=layer.call,
            forward=forward[0][row] if forward and is_timed else None,
            backward=backward[0][row] if backward and is_timed else None,
            rest=forward[1][row] if forward and own else None,
            backward_rest=backward[1][row] if backward and own else None,
            flops=2 * layer.macs,
            bytes=moved.get(row) if is_timed else None,
        )

    return tuple(layer_time(row, layer) for row, layer in enumerate(trace.layers))


def _quartiles(direction: Direction | None) -> tuple[list[Timing], list[Timing]] | None:
    return (_timings(direction.rows), _timings(direction.own)) if direction is not None else None
