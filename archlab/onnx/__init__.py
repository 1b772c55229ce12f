"""ONNX graphs as traces: a file becomes rows with shapes, parameters and cost, and nothing in it is run."""

from archlab.onnx.tracing import trace

__all__ = ["trace"]
