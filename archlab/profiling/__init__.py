"""Where a network's time goes: each layer's, measured on this machine, beside what the machine reaches."""

from archlab.profiling.measurement import profile, timed_trace

__all__ = ["profile", "timed_trace"]
