"""What archlab measures, as frozen dataclasses: free of torch, and JSON both ways."""

from archlab.records.check import Check, Finding
from archlab.records.checkpoint import Checkpoint, StoredTensor
from archlab.records.comparison import Comparison, Difference, Estimate, VariantResult
from archlab.records.config import TrainingConfig, Value
from archlab.records.data import DataSummary, PartSummary
from archlab.records.decoding import Decoding, DecodingPass
from archlab.records.diff import Change, Diff, LayerDiff, Side
from archlab.records.document import Document
from archlab.records.graph import Graph, GraphEdge, GraphNode
from archlab.records.growth import Growth, Stage
from archlab.records.memory import MemoryEstimate, MemoryParts
from archlab.records.norm_health import NormHealth
from archlab.records.norm_use import NormUse
from archlab.records.probe import GradientCorrelation, Landscape, LayerSeries, Probes, Similarity, Smoothness
from archlab.records.profile import LayerTime, Machine, Profile, Rate, Timing
from archlab.records.run import Epoch, NormRecording, Run
from archlab.records.surgery import Cut, Surgery
from archlab.records.trace import Failure, Layer, ReceptiveField, Shape, Totals, Trace, Weight, Window
from archlab.records.verdict import Examination, Verdict
from archlab.records.verification import Discrepancy, Verification
from archlab.records.watched import Watched

__all__ = [
    "Change",
    "Check",
    "Checkpoint",
    "Comparison",
    "Cut",
    "DataSummary",
    "Decoding",
    "DecodingPass",
    "Diff",
    "Difference",
    "Discrepancy",
    "Document",
    "Epoch",
    "Estimate",
    "Examination",
    "Failure",
    "Finding",
    "GradientCorrelation",
    "Graph",
    "GraphEdge",
    "GraphNode",
    "Growth",
    "Landscape",
    "Layer",
    "LayerDiff",
    "LayerSeries",
    "LayerTime",
    "Machine",
    "MemoryEstimate",
    "MemoryParts",
    "NormHealth",
    "NormRecording",
    "NormUse",
    "PartSummary",
    "Probes",
    "Profile",
    "Rate",
    "ReceptiveField",
    "Run",
    "Shape",
    "Side",
    "Similarity",
    "Smoothness",
    "Stage",
    "StoredTensor",
    "Surgery",
    "Timing",
    "Totals",
    "Trace",
    "TrainingConfig",
    "Value",
    "VariantResult",
    "Verdict",
    "Verification",
    "Watched",
    "Weight",
    "Window",
]
