"""A copy of a network, which is trained in its place."""

from __future__ import annotations

import copy

from torch import nn
from torch.nn.parameter import is_lazy

from archlab.errors import SourceError
from archlab.networks.members import named_buffers, named_parameters, refuse_unsound
from archlab.networks.strangers import contained, described


def copied(source: str, network: nn.Module) -> nn.Module:
    """A copy of a module with all that it holds.

    Raises:
        SourceError: it has lazy layers that no input has given sizes, or holds what can't be copied.
        InputError: it holds what is neither a module nor a tensor as one.
    """
    refuse_unsound(network)
    lazy = [name for name, held in (*named_parameters(network), *named_buffers(network)) if is_lazy(held)]
    if lazy:
        raise SourceError(
            f"{source} has lazy layers without sizes ({lazy[0]}), which can't be copied: run one batch through it "
            "first, or give a class or function that builds it"
        )
    try:
        with contained():
            return copy.deepcopy(network)
    except Exception as error:  # of what somebody's module holds
        raise SourceError(
            f"{source} can't be copied, as each run trains a copy: {described(error)}. Give a class or function that "
            "builds it"
        ) from error
