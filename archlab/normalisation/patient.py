"""A network with its trained weights, ready to be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks.devices import find_device
from archlab.networks.sources import Source
from archlab.normalisation import weights
from archlab.normalisation.feeding import is_loader
from archlab.normalisation.layers import tracking
from archlab.normalisation.terms import Terms
from archlab.normalisation.weights import Fit, WeightsFile
from archlab.records import Value
from archlab.training.images import load_images
from archlab.training.norms import evaluating, kept_statistics

LARGE = 64
"""Height and width from which on the layout of weights makes a difference."""
CLASSES_OPTIONS = ("num_classes", "classes", "num_labels")
"""What factories call the number of classes."""


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
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


def quicken(patient: Patient, images: Tensor) -> None:
    """Lay the network's weights out with channels last, where it takes large images on a processor and still runs so.

    ResNet-18 then takes two thirds of the time. A network that calls `view` on what a convolution gives fails with it,
    and is put back.

    Args:
        patient: whose network is laid out anew; its numbers stay.
        images: a few, to try it on.
    """
    if patient.device.type != "cpu" or min(images.shape[-2:]) < LARGE:
        return
    patient.network.to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), evaluating(patient.network), kept_statistics(tracking(patient.network)):
            patient.network(images)
    except RuntimeError:
        patient.network.to(memory_format=torch.contiguous_format)


def admit(source: Source, held: WeightsFile | None, key: str | None, data: Any, terms: Terms) -> Patient:
    """The network of a source with the weights of a file, or with its own.

    Raises:
        InputError: there are no weights, or none of them goes in.
    """
    if held is None and not source.has_weights:
        raise InputError(
            f"{source.name} is built with random weights, of which there is nothing to say: name trained ones by "
            "--weights FILE (weights=)"
        )
    source = _fitted(source, data, terms)
    network, notes = source.build(), list[str]()
    found = None
    if held is not None:
        found = weights.fit(network, held, key)
        other = _with_classes(source, found)
        if other is not None:
            name, classes = other
            source = source.with_options({**source.options, name: classes})
            network = source.build()
            found = weights.fit(network, held, key)
            notes.append(f"The network is built with {name}={classes}, as the weights say.")
        weights.load(network, held, found)
    first = next(network.parameters(), None)
    elsewhere = first is not None and first.device.type not in ("cpu", "meta")
    device = first.device if first is not None and elsewhere and not terms.device else find_device(terms.device)
    return Patient(source, network.to(device), device, held, found, (*notes, *source.notes))


def _fitted(source: Source, data: Any, terms: Terms) -> Source:
    """The source of a built-in network with what it takes from the data, as in a training: channels, classes, size."""
    if not source.is_builtin or not isinstance(data, str | Path) or is_loader(str(data)):
        return source
    found = load_images(str(data), terms.data_dir, download=terms.download)
    made_for = source.input_shapes[0][-1] if source.input_shapes else None
    wanted: dict[str, Value | None] = {
        "in_channels": found.channels,
        "classes": len(found.classes),
        "size": terms.size or made_for or found.size,
    }
    fitting = {name: value for name, value in wanted.items() if value is not None and name in source.available}
    return source.with_options(fitting | dict(source.options))


def _with_classes(source: Source, found: Fit) -> tuple[str, int] | None:
    """The option for the number of classes, and its value, where that alone keeps some tensors from going in."""
    given = source.options
    name = next((name for name in CLASSES_OPTIONS if name in source.available), None)
    pairs = {(one.stored[:1], one.expected[:1]) for one in found.loaded.wrong}
    only_first = all(one.stored[1:] == one.expected[1:] for one in found.loaded.wrong)
    if name is None or len(pairs) != 1 or not only_first or (name in given and not source.is_builtin):
        return None
    ((stored, _),) = pairs
    return (name, stored[0]) if stored else None
