"""Whether the last batch of an epoch, which is as small as what is left over, can be trained on."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks import members
from archlab.networks.strangers import contained, settings_kept
from archlab.training.norms import evaluating, norm_layers


def check_last_batch(network: nn.Module, image_shape: tuple[int, int, int], images: int, batch_size: int) -> None:
    """Hold the last batch of an epoch to what BatchNorm can normalise by.

    A layer that sees one value per channel has a variance of 0 whatever the image, so that torch refuses it, in the
    middle of the training. For example: 257 images in batches of 256 leave a last batch of 1, of which a BatchNorm
    behind a linear layer sees (1, channels).

    Args:
        network: in training mode; its statistics, modes and the random state are left as they are.
        image_shape: (channels, height, width) of every image.
        images: how many an epoch trains on.
        batch_size: images per step.

    Raises:
        InputError: the last batch is a single image, of which a layer sees one value per channel.
    """
    if (images - 1) % batch_size:
        return
    layers = [layer for layer in norm_layers(network) if not layer.is_frozen]
    single: list[str] = []

    def look(path: str, channels: int, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == channels:
            single.append(path)

    handles = [
        layer.module.register_forward_pre_hook(
            lambda _module, inputs, layer=layer: look(layer.path, layer.channels, inputs)
        )
        for layer in layers
    ]
    device = next((parameter.device for parameter in members.parameters(network)), torch.device("cpu"))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), evaluating(network), settings_kept(), contained():
            network(torch.zeros(1, *image_shape, device=device))
    except Exception:  # training will say what is wrong with the network
        return
    finally:
        for handle in handles:
            handle.remove()
    if single:
        raise InputError(
            f"{images:,} training images in batches of {batch_size:,} leave a last batch of 1, in which {single[0]} "
            f"gets one value per channel and has nothing to normalise by: {_remedy(images, batch_size)}"
        )


def _remedy(images: int, batch_size: int) -> str:
    if images == 1:
        return "take more training images (--train-samples, train_samples=)"
    larger = next(size for size in itertools.count(batch_size + 1) if (images - 1) % size)
    remedy = f"take batches of {larger:,} (--batch-size, batch_size=)"
    fewer = f", or {images - 1:,} training images (--train-samples, train_samples=)"
    return remedy + (fewer if batch_size > 1 else "")
