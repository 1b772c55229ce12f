"""Prefill and decode of a decoder as tables: a row per pass, and a row per precision of the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.tables.columns import count_column, network_text, size_column
from archlab.tables.table import AtLeast, Cell, Column, Row, Table

if TYPE_CHECKING:
    from archlab.records.decoding import Decoding, DecodingPass


def decoding_tables(found: Decoding) -> tuple[Table, Table]:
    """The two passes with their MACs and bytes of cache; and the weights with what each pass does per byte it reads."""
    tokens = found.prefill.tokens
    sequences = "" if found.batch == 1 else f", {found.batch:,} sequences at a time"
    positions = (
        f"Decode is one token behind {tokens:,} in the cache: {tokens + 1:,} positions, or the network's window."
    )
    passes = Table(
        columns=(
            Column("pass", "pass"),
            count_column("tokens", "new tokens"),
            count_column("macs", "MACs"),
            size_column("cache_read", "cache read"),
            size_column("cache_after", "cache after"),
        ),
        rows=tuple(
            Row((name, item.tokens, _macs(item), item.cache_read, item.cache_after))
            for name, item in (("prefill", found.prefill), ("decode", found.decode))
        ),
        title=f"{network_text(found)}: a prompt of {tokens:,} tokens, then one more{sequences}",
        footer=(
            *(() if found.has_encoder else (positions,)),
            "Tokens are per sequence, MACs and bytes over all sequences.",
            f"The cache is the network's own: {len(found.cache_shapes)} tensors in {' and '.join(found.cache_dtypes)}.",
            *found.notes,
        ),
    )
    precisions = Table(
        columns=(
            Column("precision", "weights"),
            size_column("weights", "bytes"),
            Column("prefill_intensity", "prefill FLOPs/byte", align="right", form=",.1f"),
            Column("decode_intensity", "decode FLOPs/byte", align="right", form=",.1f"),
        ),
        rows=tuple(
            Row((name, size, found.prefill.intensity(size), found.decode.intensity(size)))
            for name, size in found.weights.items()
        ),
        title=f"{found.parameters:,} parameters",
        footer=(
            "FLOPs/byte (arithmetic intensity) is 2 x MACs / (all weights once + the cache read).",
            "Not in it: activations, what is written, and the scales of quantised weights.",
            "All weights count, though a look-up takes a few rows and a mixture of experts some experts.",
        ),
    )
    return passes, precisions


def _macs(item: DecodingPass) -> Cell:
    return AtLeast(item.macs) if item.is_lower_bound else item.macs
