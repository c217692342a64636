"""Dinomaly's trained part: a noisy bottleneck, and transformer blocks with linear attention."""

import torch
from einops import rearrange
from timm.layers import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

_EPS = 1e-8
"""Epsilon of LayerNorms, as in the official code, and of the attention's sum, which can be 0."""


class LinearAttention(nn.Module):
    """Attention whose weights are φ(q)·φ(k) with φ = ELU + 1, not a softmax.

    Its cost is linear in the number of tokens, and it cannot focus on a few of them (Katharopoulos
    et al., ICML 2020; section 3.3 of the paper).

    Args:
        width: Number of channels.
        heads: Number of heads, a divisor of the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return a weighted mean of the tokens ``(B, N, C)`` for each of them."""
        qkv = rearrange(
            self.qkv(tokens), "b n (part heads c) -> part b heads n c", part=3, heads=self.heads
        )
        # Sums over all tokens lose too much in bfloat16.
        with torch.autocast(tokens.device.type, enabled=False):
            # Dense by head, or every product below would copy its factors.
            query, key, value = qkv.float().contiguous().unbind(0)
            query, key = F.elu(query).add_(1), F.elu(key).add_(1)
            sums = query @ key.sum(dim=-2, keepdim=True).mT  # (B, heads, N, 1)
            mixed = query @ (key.mT @ value) / (sums + _EPS)
        mixed = rearrange(mixed, "b heads n c -> b n (heads c)")
        return self.proj(mixed.to(qkv.dtype))


class DecoderBlock(nn.Module):
    """A transformer block (LayerNorm first) with linear attention.

    Args:
        width: Number of channels.
        heads: Number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = LinearAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape ``(B, N, C)``."""
        tokens = tokens + self.attn(self.norm1(tokens))
        return tokens + self.mlp(self.norm2(tokens))


class NoisyBottleneck(nn.Module):
    """An MLP whose dropout, also at its input, is the only noise (section 3.2).

    Args:
        width: Number of channels.
        dropout: Share of numbers that training sets to 0.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape ``(B, N, C)``."""
        hidden = F.gelu(self.fc1(self.dropout(tokens)))
        return self.dropout(self.fc2(self.dropout(hidden)))


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Draw linear layers from a normal distribution of std 0.01, truncated at three deviations."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.03, b=0.03)
            nn.init.zeros_(layer.bias)
