"""What a decoder takes to read a prompt, and to make each token after it, with the cache that it keeps meanwhile.

Where an encoder reads the prompt, prefill is the encoder and the decoder's first step.

Both passes run on tensors without values. The cache is the network's own: whatever object the first pass returns is
handed to the second, so that shared heads, sliding windows, compressed keys and recurrent states are as large as the
network makes them.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archlab.errors import ForwardError, InputError
from archlab.networks.members import modules, set_training
from archlab.records import Trace, Value
from archlab.records.decoding import WEIGHT_BITS, Decoding, DecodingPass
from archlab.tracing.inputs import AsIs, arguments
from archlab.tracing.measurement import Measurement, Values, found_network
from archlab.tracing.pytree import convert, dtype_name, nbytes, shape_of, tensors

if TYPE_CHECKING:
    from archlab.networks import Source

CACHES = ("cache", "past_key_values", "cache_params", "state")
"""What transformers calls the cache among the arguments and in the results of a network, by its versions and kinds."""
_GIVEN = CACHES[:2]
"""Of them, those that are one of transformers' own classes."""


def decoding(network: str | Source | nn.Module, tokens: int, *, batch: int | None = None, **options: Value) -> Decoding:
    """The cost of reading a prompt (prefill) and of one token after it (decode), and the bytes of cache and weights.

    Prefill: `tokens` new tokens at once, with an empty cache. Decode: one new token, with `tokens` in the cache. So
    attention over all of them is over `tokens` + 1 positions. A network that was given is left as it was found.

    Args:
        network: a decoder of transformers, with an encoder or without one: a source (`hf:...`), or a module that takes
            `input_ids` or `decoder_input_ids` and a cache.
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
    built = built if source is None else set_training(built, False)
    name = source.name if source else type(built).__name__
    parameters = inspect.signature(built.forward).parameters
    argument = next((item for item in CACHES if item in parameters), None)
    has_encoder = bool(getattr(getattr(built, "config", None), "is_encoder_decoder", False))
    takes_more = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    is_asked = "use_cache" in parameters or takes_more
    if argument is None or not is_asked or not {"input_ids", "decoder_input_ids"} & parameters.keys():
        raise InputError(
            f"{name} ({type(built).__name__}) keeps no cache between tokens: --decode is for decoders of transformers, "
            "such as hf:ORG/NAME --option task=causal-lm"
        )
    from archlab.networks.hugging_face.inputs import left_out

    size = batch or 1
    prompt, notes = _prompt(built, size, tokens) if has_encoder else ({"input_ids": _tokens(size, tokens)}, [])

    def run(given: dict[str, Any], cache: Any) -> tuple[Trace, Any, _Pass]:
        measured = _Pass(built, name, arguments({**given, "use_cache": True}, built, (), None), source=source)
        measured.has_encoder = has_encoder
        if cache is not None:
            measured.cache = (argument, cache)
        trace = measured.trace()
        out = measured.output
        left = next((found for item in CACHES if (found := getattr(out, item, None)) is not None), None)
        return trace, measured.given[1].get(argument) if left is None else left, measured

    first, cache, measured = run(prompt, None)
    if cache is None and argument in _GIVEN:  # it makes a cache, but doesn't return it: one that it is given is filled
        first, cache, measured = run(prompt, _empty_cache(built))
    held = _distinct((cache, measured.states))
    if not held:
        raise InputError(f"{name} ({type(built).__name__}) returns no cache: --decode is for decoders that keep one")
    read = sum(map(nbytes, held))
    following: dict[str, Any] = {"input_ids": _tokens(size, 1)}
    if has_encoder:
        encoded = convert(measured.encoded, lambda tensor: torch.empty_like(tensor, device="meta"))
        following = {"decoder_input_ids": _tokens(size, 1), "encoder_outputs": AsIs(encoded)}
    second, after, measured = run(following, cache)
    count = first.totals.parameters
    return Decoding(
        network=name,
        batch=size,
        prefill=DecodingPass(tokens, first.totals.macs, 0, read, bool(first.totals.uncounted_operations)),
        decode=DecodingPass(
            1,
            second.totals.macs,
            read,
            sum(map(nbytes, _distinct((after, measured.states)))),
            bool(second.totals.uncounted_operations),
        ),
        parameters=count,
        cache_dtypes=tuple(dict.fromkeys(map(dtype_name, held))),
        cache_shapes=tuple(map(shape_of, held)),
        weights={precision: -(-count * bits // 8) for precision, bits in WEIGHT_BITS.items()},
        options={key: str(value) for key, value in source.options.items()} if source else {},
        notes=tuple(filter(None, dict.fromkeys([*notes, left_out(built, prompt), *first.notes, *second.notes]))),
        has_encoder=has_encoder,
    )


def _empty_cache(network: Any) -> Any:
    from transformers import DynamicCache

    return DynamicCache(config=network.config)


def _tokens(batch: int, count: int) -> str:
    return f"{batch}x{count}:int64"


def _prompt(network: nn.Module, batch: int, tokens: int) -> tuple[dict[str, Any], list[str]]:
    """What an encoder and a decoder are given first, and a sentence that says so.

    An encoder of text reads the prompt, and the decoder makes its first token. Where the encoder reads something else,
    as a sound, the prompt is the decoder's.

    Raises:
        InputError: it isn't known what the encoder takes.
    """
    from archlab.networks.hugging_face.inputs import inputs_of

    given: dict[str, Any] = inputs_of(network, batch)
    if isinstance(given.get("input_ids"), Tensor):
        given = {"input_ids": ""}  # a picture's tokens and the text: the prompt is text alone
    if "input_ids" in given and getattr(network, "main_input_name", "input_ids") == "input_ids":
        said = (
            f"Prefill: the encoder reads {tokens:,} tokens, and the decoder makes the first. Decode: the decoder makes "
            f"the second, with self-attention over 2 positions and cross-attention over {tokens:,}."
        )
        return {**given, "input_ids": _tokens(batch, tokens), "decoder_input_ids": _tokens(batch, 1)}, [said]
    read = ", ".join(name for name in given if name != "decoder_input_ids")
    said = (
        f"Prefill: the encoder reads {read}, and the decoder {tokens:,} tokens. Decode: the decoder makes one token "
        f"more, with self-attention over {tokens + 1:,} positions and cross-attention over what the encoder made."
    )
    return {**given, "decoder_input_ids": _tokens(batch, tokens)}, [said]


def _sequence(network: Any) -> Value | None:
    """The length that a source was resolved with."""
    options = getattr(network, "options", None)
    found: Value | None = options.get("seq") if isinstance(options, dict) else None
    return found


class _Pass(Measurement):
    """A run that keeps what the network returns, and takes a new copy of the cache each time it is tried."""

    cache: tuple[str, Any] | None = None
    output: Any = None
    states: tuple[Tensor, ...] = ()
    """What modules themselves keep for the next token, as RecurrentGemma's do."""
    has_encoder = False
    encoded: Any = None
    """What the encoder returned."""

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
        self._before = _unmarked(self._attributes())
        network: Any = self.network
        encoder = network.get_encoder() if self.has_encoder else None
        handles = [self.network.register_forward_hook(self._keep)]
        if isinstance(encoder, nn.Module):
            handles.append(encoder.register_forward_hook(self._keep_encoded))
        try:
            return super().run(values, quick=quick)
        finally:
            for handle in handles:
                handle.remove()

    def _keep(self, network: nn.Module, given: object, output: object) -> None:
        self.output = output
        before = {id(tensor) for tensor in self._before}
        self.states = tuple(tensor for tensor in self._attributes() if id(tensor) not in before)

    def _keep_encoded(self, network: nn.Module, given: object, output: object) -> None:
        self.encoded = output

    def _attributes(self) -> list[Tensor]:
        """The tensors that are attributes of modules, but neither parameters nor buffers."""
        held = modules(self.network)
        return [value for module in held for value in vars(module).values() if isinstance(value, Tensor)]


def _unmarked(cache: Any) -> Any:
    """The cache, without what a run wrote on its tensors."""
    for tensor in tensors(cache):
        for name in [name for name in vars(tensor) if name.startswith("_archlab")]:
            delattr(tensor, name)
    return cache


def _distinct(cache: object) -> list[Tensor]:
    """The tensors that a cache holds, each once."""
    found = {id(tensor): tensor for tensor in tensors(cache, depth=12)}
    return [tensor for tensor in found.values() if tensor.numel() and tensor.is_floating_point()]
