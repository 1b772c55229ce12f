"""A transformer decoder of 70 billion parameters, as a user would write it: plain torch, one file.

    archlab shapes benchmarks/decoder_70b.py:decoder --input 1x4096:int64

80 blocks, 8,192 wide; 64 query heads share 8 heads of keys and values; SwiGLU of 28,672; RMSNorm; 128,256 tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 8192
HEADS = 64
KEY_HEADS = 8
HIDDEN = 28_672
BLOCKS = 80
TOKENS = 128_256


def rotated(x: Tensor) -> Tensor:
    """Heads (batch, heads, length, features) with their position turned into them, two features at a time."""
    length, features = x.shape[-2:]
    frequencies = 500_000.0 ** (-torch.arange(0, features, 2, device=x.device) / features)
    angles = torch.outer(torch.arange(length, device=x.device), frequencies)
    first, second = x.chunk(2, dim=-1)
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Attention(nn.Module):
    """Causal attention whose query heads share keys and values in groups."""

    def __init__(self) -> None:
        super().__init__()
        features = WIDTH // HEADS
        self.query = nn.Linear(WIDTH, WIDTH, bias=False)
        self.key = nn.Linear(WIDTH, KEY_HEADS * features, bias=False)
        self.value = nn.Linear(WIDTH, KEY_HEADS * features, bias=False)
        self.output = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        batch, length, _ = x.shape
        query = rotated(self.query(x).view(batch, length, HEADS, -1).transpose(1, 2))
        key = rotated(self.key(x).view(batch, length, KEY_HEADS, -1).transpose(1, 2))
        value = self.value(x).view(batch, length, KEY_HEADS, -1).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        result: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return result


class SwiGLU(nn.Module):
    """A gated feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.up = nn.Linear(WIDTH, HIDDEN, bias=False)
        self.down = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        result: Tensor = self.down(F.silu(self.gate(x)) * self.up(x))
        return result


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added to what came in."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(WIDTH)
        self.attention = Attention()
        self.feed_forward_norm = nn.RMSNorm(WIDTH)
        self.feed_forward = SwiGLU()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, width) -> the same."""
        x = x + self.attention(self.attention_norm(x))
        result: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return result


class Decoder(nn.Module):
    """Tokens to scores of the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.norm = nn.RMSNorm(WIDTH)
        self.head = nn.Linear(WIDTH, TOKENS, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, length) -> (batch, length, tokens)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.head(self.norm(x))
        return scores


def decoder() -> nn.Module:
    """The network, which takes 282 GB where it is given weights."""
    return Decoder()
