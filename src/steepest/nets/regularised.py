"""A fully connected net with dropout and weight normalisation. Autograd trains it: these have no hand-derived backward.

- Dropout (Srivastava et al. 2014): during training each hidden unit is 0 with probability p, and the others are divided
  by 1 - p, so that a unit's expected value stays the same. A trained net uses all units.
- Weight normalisation (Salimans & Kingma 2016): each unit's weights are g v / |v|, and g and v are trained.

Shapes as in `networks.py`.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from steepest.nets.networks import MLP


class RegularisedMLP(nn.Module):
    """An `MLP` with dropout after each hidden layer, and optionally weights of separate length and direction.

    Args:
        mlp: the net, whose initial weights it keeps.
        dropout: p, the probability that a hidden unit is dropped.
        normed: normalise the weights of every layer.
    """

    def __init__(self, mlp: MLP, dropout: float = 0.0, *, normed: bool = False) -> None:
        super().__init__()
        self.mlp, self.dropout = mlp, nn.Dropout(dropout)
        self.title = (
            mlp.in_words() + (f", dropout {dropout:g}" if dropout else "") + (", weight norm" if normed else "")
        )
        if normed:
            for k in range(1, mlp.depth + 1):
                weight_norm(mlp, f"W{k}")

    def in_words(self) -> str:
        """As `MLP.in_words`, with the regularisation."""
        return self.title

    def forward(self, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N O"]:
        """Predictions (N, O) for inputs (N, D)."""
        a, layers = x_ND, self.mlp.layers()
        for number, ((W_OI, b_O), sigma) in enumerate(zip(layers, self.mlp.activations, strict=True), start=1):
            a = sigma(a @ W_OI.mT + b_O)
            a = self.dropout(a) if number < len(layers) else a
        return a
