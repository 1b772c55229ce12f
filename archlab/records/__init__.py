"""What archlab measures, as frozen dataclasses: free of torch, and JSON both ways."""

from archlab.records.comparison import Comparison, Difference, Estimate, VariantResult
from archlab.records.document import Document
from archlab.records.run import Epoch, NormRecording, Run, TrainingConfig, Value
from archlab.records.trace import Failure, Layer, ReceptiveField, Shape, Totals, Trace

__all__ = [
    "Comparison",
    "Difference",
    "Document",
    "Epoch",
    "Estimate",
    "Failure",
    "Layer",
    "NormRecording",
    "ReceptiveField",
    "Run",
    "Shape",
    "Totals",
    "Trace",
    "TrainingConfig",
    "Value",
    "VariantResult",
]
