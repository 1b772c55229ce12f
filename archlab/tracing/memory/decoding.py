"""What a decoder takes to read a prompt, and to make each token after it, with the cache that it keeps meanwhile.

Both passes run on tensors without values. The cache is the network's own: whatever object the first pass returns is
handed to the second, so that shared heads, sliding windows, compressed keys and recurrent states are as large as the
network makes them.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from archlab.errors import ForwardError, InputError
from archlab.records import Trace, Value
from archlab.records.decoding import WEIGHT_BITS, Decoding, DecodingPass
from archlab.tracing.inputs import arguments
from archlab.tracing.measurement import Measurement, Values, found_network
from archlab.tracing.pytree import dtype_name, nbytes, shape_of, tensors

if TYPE_CHECKING:
    from archlab.networks import Source

CACHES = ("cache", "past_key_values", "cache_params")
"""What transformers calls the cache among the arguments and in the results of a network, by its versions and kinds."""


def decoding(network: str | Source | nn.Module, tokens: int, *, batch: int | None = None, **options: Value) -> Decoding:
    """The cost of reading a prompt (prefill) and of one token after it (decode), and the bytes of cache and weights.

    Prefill: `tokens` new tokens at once, with an empty cache. Decode: one new token, with `tokens` in the cache. So
    attention over all of them is over `tokens` + 1 positions. A network that was given is left as it was found.

    Args:
        network: a decoder of transformers: a source (`hf:...`), or a module that takes `input_ids` and a cache.
        tokens: length of the prompt.
        batch: sequences at a time.
        options: what to build the network with, where it is a source's name.

    Raises:
        InputError: the network takes no tokens or keeps no cache, or an option is wrong.
        ForwardError: it can't run, or only with real arithmetic.
    """
    if tokens < 1:
        raise InputError(f"the prompt has {tokens} tokens: it must have 1 or more")
    if options.pop("seq", None) is not None or (not isinstance(network, str) and _sequence(network) is not None):
        raise InputError("the length of the prompt is given twice, as seq too: leave that out")
    source, built = found_network(network, options)
    built = built if source is None else built.eval()
    name = source.name if source else type(built).__name__
    parameters = inspect.signature(built.forward).parameters
    argument = next((item for item in CACHES if item in parameters), None)
    if argument is None or "input_ids" not in parameters or "use_cache" not in parameters:
        raise InputError(
            f"{name} ({type(built).__name__}) keeps no cache between tokens: --decode is for decoders of transformers, "
            "such as hf:ORG/NAME --option task=causal-lm"
        )
    if getattr(getattr(built, "config", None), "is_encoder_decoder", False):
        raise InputError(
            f"{name} ({type(built).__name__}) has an encoder: --decode is for networks that are a decoder alone"
        )
    size = batch or 1

    def run(length: int, cache: Any) -> tuple[Trace, Any]:
        given: dict[str, Any] = {"input_ids": f"{size}x{length}:int64", "use_cache": True}
        measured = _Pass(built, name, arguments(given, built, (), None), source=source)
        if cache is not None:
            measured.cache = (argument, cache)
        trace = measured.trace()
        out = measured.output
        left = next((found for item in CACHES if (found := getattr(out, item, None)) is not None), None)
        return trace, left

    first, cache = run(tokens, None)
    held = _distinct(cache)
    if not held:
        raise InputError(f"{name} ({type(built).__name__}) returns no cache: --decode is for decoders that keep one")
    read = sum(map(nbytes, held))
    second, after = run(1, cache)
    count = first.totals.parameters
    return Decoding(
        network=name,
        batch=size,
        prefill=DecodingPass(tokens, first.totals.macs, 0, read, bool(first.totals.uncounted_operations)),
        decode=DecodingPass(
            1, second.totals.macs, read, sum(map(nbytes, _distinct(after))), bool(second.totals.uncounted_operations)
        ),
        parameters=count,
        cache_dtypes=tuple(dict.fromkeys(map(dtype_name, held))),
        cache_shapes=tuple(map(shape_of, held)),
        weights={precision: -(-count * bits // 8) for precision, bits in WEIGHT_BITS.items()},
        options={key: str(value) for key, value in source.options.items()} if source else {},
        notes=tuple(dict.fromkeys([*first.notes, *second.notes])),
    )


def _sequence(network: Any) -> Value | None:
    """The length that a source was resolved with."""
    options = getattr(network, "options", None)
    found: Value | None = options.get("seq") if isinstance(options, dict) else None
    return found


class _Pass(Measurement):
    """A run that keeps what the network returns, and takes a new copy of the cache each time it is tried."""

    cache: tuple[str, Any] | None = None
    output: Any = None

    def run(self, values: Values, *, quick: bool = False) -> Trace:
        """One run, as `Measurement.run`; real arithmetic would need a cache with values.

        Raises:
            ForwardError: all is to have values.
        """
        if values == "all":
            raise ForwardError(f"{self.name} can't be measured with a cache without running it: {self.notes[-1]}")
        if self.cache is not None:
            args, kwargs = self.given
            name, cache = self.cache
            self.given = args, {**kwargs, name: _unmarked(copy.deepcopy(cache))}
        handle = self.network.register_forward_hook(self._keep)
        try:
            return super().run(values, quick=quick)
        finally:
            handle.remove()

    def _keep(self, network: nn.Module, given: object, output: object) -> None:
        self.output = output


def _unmarked(cache: Any) -> Any:
    """The cache, without what a run wrote on its tensors."""
    for tensor in tensors(cache):
        tensor.__dict__.clear()
    return cache


def _distinct(cache: object) -> list[Tensor]:
    """The tensors that a cache holds, each once."""
    found = {id(tensor): tensor for tensor in tensors(cache, depth=12)}
    return [tensor for tensor in found.values() if tensor.numel() and tensor.is_floating_point()]
