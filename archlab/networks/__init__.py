"""What can be built: the networks of the course and of the papers, and any other by its source."""

from archlab.networks import densenet as densenet  # registers its networks, as the next three do
from archlab.networks import lenet as lenet
from archlab.networks import resnet as resnet
from archlab.networks import variations as variations
from archlab.networks.course import BatchNorm, DenseBlock, Residual, Transition
from archlab.networks.hugging_face.safetensors import checkpoint
from archlab.networks.registry import Entry, entry, names, register
from archlab.networks.sources import Source, build, resolve
from archlab.networks.zoos import zoo_names

__all__ = [
    "BatchNorm",
    "DenseBlock",
    "Entry",
    "Residual",
    "Source",
    "Transition",
    "build",
    "checkpoint",
    "entry",
    "names",
    "register",
    "resolve",
    "zoo_names",
]
