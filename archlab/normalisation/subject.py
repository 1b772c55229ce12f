"""A network with its trained weights, ready to be looked at."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks.devices import find_device
from archlab.networks.sources import Source
from archlab.normalisation import weights
from archlab.normalisation.weights import Fit, WeightsFile
from archlab.training.norms import evaluating, kept_statistics, norm_layers
from archlab.training.preparation import CLASSES

LARGE = 64
"""Height and width from which on the layout of weights makes a difference."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network with its weights, on its device."""

    source: Source
    network: nn.Module
    device: torch.device
    held: WeightsFile | None
    """The file of its weights; None where it has its own."""
    found: Fit | None
    notes: tuple[str, ...] = ()

    def again(self, held: WeightsFile) -> nn.Module:
        """The network built anew, with the weights of another file that is like its own."""
        assert self.found is not None
        network = self.source.build()
        weights.load(network, held, weights.fit(network, held, self.found.key))
        return network.to(self.device)


def choose_layout(subject: Subject, images: Tensor) -> None:
    """Lay the network's weights out with channels last, where it takes large images on a processor and still runs so.

    ResNet-18 then takes two thirds of the time. A network that calls `view` on what a convolution gives fails with it,
    and is put back.

    Args:
        subject: whose network is laid out anew; its numbers stay.
        images: a few, to try it on.
    """
    if subject.device.type != "cpu" or min(images.shape[-2:]) < LARGE:
        return
    subject.network.to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), evaluating(subject.network), kept_statistics(norm_layers(subject.network)):
            subject.network(images)
    except RuntimeError:
        subject.network.to(memory_format=torch.contiguous_format)


def subject_of(
    source: Source, held: WeightsFile | None, key: str | None, given: Collection[str] = (), device: str | None = None
) -> Subject:
    """The network of a source with the weights of a file, or with its own.

    Args:
        source: fitted to its data.
        held: the file.
        key: where in it the weights lie; None to look for them.
        given: options that were chosen; those of the others that the weights decide follow them.
        device: None for the network's own, or an accelerator.

    Raises:
        InputError: there are no weights, or none of them goes in.
    """
    if held is None and not source.has_weights:
        raise InputError(
            f"{source.name} is built with random weights, of which there is nothing to say: name trained ones by "
            "--weights FILE (weights=)"
        )
    network, notes = source.build(), list[str]()
    found = None
    if held is not None:
        found = weights.fit(network, held, key)
        other = _with_classes(source, found, given)
        if other is not None:
            name, classes = other
            source = source.with_options({**source.options, name: classes})
            network = source.build()
            found = weights.fit(network, held, key)
            notes.append(f"The network is built with {name}={classes}, as the weights say.")
        weights.load(network, held, found)
    first = next(network.parameters(), None)
    elsewhere = first is not None and first.device.type not in ("cpu", "meta")
    place = first.device if first is not None and elsewhere and not device else find_device(device)
    return Subject(source, network.to(place), place, held, found, (*notes, *source.notes))


def _with_classes(source: Source, found: Fit, given: Collection[str]) -> tuple[str, int] | None:
    """The option for the number of classes, and its value, where that alone keeps some tensors from going in."""
    name = next((name for name in CLASSES if name in source.available), None)
    pairs = {(one.stored[:1], one.expected[:1]) for one in found.loaded.wrong}
    only_first = all(one.stored[1:] == one.expected[1:] for one in found.loaded.wrong)
    if name is None or len(pairs) != 1 or not only_first or name in given:
        return None
    ((stored, _),) = pairs
    return (name, stored[0]) if stored else None
