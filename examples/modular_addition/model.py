"""A one-layer transformer that reads a, b and an equals sign, and names (a + b) mod p.

No biases, no layer normalisation and no dropout, as in Nanda et al. 2023,
https://arxiv.org/abs/2301.05217.
"""

import math

import torch
from torch import Tensor, nn

WIDTH, HEADS = 64, 4


class ModularAdder(nn.Module):
    """x_t = E[token_t] + P_t for the three tokens;  x += W_o attention(W_qkv x);
    x += W_out relu(W_in x);  logits = U x_3.
    """

    def __init__(self, p: int, generator: torch.Generator) -> None:
        super().__init__()

        def weight(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape, generator=generator) / math.sqrt(shape[-1]))

        self.embedding = weight(p + 1, WIDTH)  # the last token is the equals sign
        self.position = weight(3, WIDTH)
        self.qkv, self.out = weight(3 * WIDTH, WIDTH), weight(WIDTH, WIDTH)
        self.mlp_in, self.mlp_out = weight(4 * WIDTH, WIDTH), weight(WIDTH, 4 * WIDTH)
        self.unembedding = weight(p, WIDTH)

    def forward(self, pairs: Tensor) -> Tensor:
        """Logits (B, p) of the sums of pairs (B, 2), numbers from 0 to p - 1."""
        equals = torch.full_like(pairs[:, :1], len(self.embedding) - 1)  # (B, 1)
        x = self.embedding[torch.cat([pairs, equals], 1)] + self.position  # (B, 3, WIDTH)
        qkv = (x @ self.qkv.T).unflatten(-1, (3, HEADS, -1))  # (B, 3, 3, HEADS, WIDTH / HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, HEADS, 3, WIDTH / HEADS)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)  # as q
        x = x + attended.transpose(1, 2).flatten(2) @ self.out.T  # (B, 3, WIDTH)
        x = x + torch.relu(x @ self.mlp_in.T) @ self.mlp_out.T  # (B, 3, WIDTH)
        return x[:, -1] @ self.unembedding.T  # (B, p)
