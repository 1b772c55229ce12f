"""Leaving a network as it was found: what it holds is noted before, and put back where it has changed."""

from archlab.tracing.isolation.stand_ins import isolated

__all__ = ["isolated"]
