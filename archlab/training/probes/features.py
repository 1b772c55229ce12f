"""The features of layers: how many dimensions they use, and how alike those of two layers are.

Features are what the layers with weights give, and the sums of branches and skip connections. For `rank`, each image
and position of a map is one sample of a layer's channels, and X the samples x channels with their mean taken off:

- `effective_rank` is exp(-sum p log p), where p are the singular values of X divided by their sum (Roy and Vetterli
  2007, The Effective Rank: a Measure of Effective Dimensionality, section 2): 1 where all samples lie on a line, the
  number of channels where all directions are equally long.
- `feature_saturation` is the share of a layer's dimensions that its largest principal components need for 99 % of the
  variance (Shenk et al. 2019, Spectral Analysis of Latent Representations; Richter et al. 2021).

For `similarity`, an image with all of a layer's channels and positions is one sample. Alignment is linear CKA
(Kornblith et al. 2019, Similarity of Neural Network Representations Revisited, section 3), from the unbiased estimate
of HSIC (Song et al. 2012; as Nguyen et al. 2021 use it), since the biased one calls any two wide layers alike when
images are few: with 128 images and independent features of 1,000 dimensions it is about 0.9 in place of 0.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from archlab.training.probes.listening import Listener, has_weights

SIMILAR_IMAGES = 128
"""Of the probed ones, the first: a kernel has an entry for each pair of them."""
MOST_LAYERS = 64
"""That are compared with each other; of more, so many from all depths."""
EXPLAINED = 0.99
ROUNDING = 1e-6
"""Of a norm: some units in the last place of float32."""

T = TypeVar("T")


class Features(Listener):
    """Notes the features of a forward pass.

    Args:
        rank: whether their dimensions are measured.
        similarity: whether their kernels are.
    """

    def __init__(self, rank: bool, similarity: bool) -> None:
        self._rank = rank
        self._similarity = similarity
        self._axes: dict[torch.Size, int] = {}  # of a shape, where the layer that gave it last has its channels
        self.ranks: dict[str, list[Tensor]] = {}
        """Name -> `Probes.RANK`."""
        self.kernels: dict[str, Tensor] = {}
        """Name -> the row of `Similarity.last`."""

    def layer(self, name: str, module: nn.Module, output: Tensor) -> None:
        """Note what a layer with weights gives."""
        if has_weights(module):
            # What convolves has its channels second, and what multiplies by a matrix, last.
            convolves = isinstance(module, nn.modules.conv._ConvNd) or output.dim() > 3
            self._axes[output.shape] = 1 if convolves else output.dim() - 1
            self._note(name, output)

    def joined(self, name: str, output: Tensor) -> None:
        """Note a sum."""
        self._note(f"{name} +", output)

    def _note(self, name: str, output: Tensor) -> None:
        values = output.detach()
        if self._rank:
            axis = self._axes.get(values.shape, 1 if values.dim() > 3 else values.dim() - 1)
            self.ranks[name] = dimensions(values.movedim(axis, -1).flatten(0, -2))
        if self._similarity:
            self.kernels[name] = centred_kernel(values[:SIMILAR_IMAGES].flatten(1))


def centred(samples: Tensor) -> Tensor:
    """Samples without their mean, by row; NaN where they are equal but for rounding, which looks like features.

    Behind ten layers of sigmoids, for instance, images differ in the seventh digit alone.
    """
    samples = samples.float()
    found = samples - samples.mean(0)
    differ = torch.linalg.vector_norm(found) > ROUNDING * torch.linalg.vector_norm(samples)
    return torch.where(differ, found, torch.nan)


def dimensions(samples: Tensor) -> list[Tensor]:
    """Effective rank and saturation of (samples, channels); NaN where all samples are equal."""
    samples = centred(samples)
    wide = samples.shape[1] > samples.shape[0]
    product = (samples @ samples.T if wide else samples.T @ samples).to(torch.float64)
    variances = (
        torch.linalg.eigvalsh(product).clamp(min=0).flip(0) if product.isfinite().all() else product[0] * torch.nan
    )
    # What is below is rounding of the product in float32.
    variances = torch.where(variances < variances[0] * 1e-6 * len(product), 0.0, variances)
    lengths = variances.sqrt() / variances.sqrt().sum()
    rank = torch.special.entr(lengths).sum().exp()
    needed = 1 + (variances.cumsum(0) < EXPLAINED * variances.sum()).sum()
    return [rank.float(), torch.where(rank.isnan(), torch.nan, needed / samples.shape[1]).float()]


def centred_kernel(samples: Tensor) -> Tensor:
    """(pairs,) the U-centred linear kernel of (images, features) above its diagonal, with a norm of 1 as a whole.

    The inner product of two U-centred kernels is the unbiased estimate of HSIC, but for a factor that their alignment
    hasn't (Szekely and Rizzo 2014, Partial Distance Correlation with Methods for Dissimilarities, section 2).
    """
    samples = centred(samples)
    kernel = (samples @ samples.T).to(torch.float64).fill_diagonal_(0.0)
    images = len(kernel)
    sums = kernel.sum(0)
    kernel = kernel - (sums[:, None] + sums) / (images - 2) + sums.sum() / ((images - 1) * (images - 2))
    above = kernel[tuple(torch.triu_indices(images, images, 1, device=kernel.device))]
    unit: Tensor = above / (2**0.5 * torch.linalg.vector_norm(above))
    return unit.float()


def alignment(kernels: Tensor) -> Tensor:
    """(layers, layers) from (layers, pairs)."""
    found: Tensor = 2 * kernels @ kernels.T
    return found


def spread(things: list[T], most: int) -> list[T]:
    """So many of some things from the first to the last, evenly; all where there are no more."""
    if len(things) <= most:
        return things
    return [things[round(place * (len(things) - 1) / (most - 1))] for place in range(most)]
