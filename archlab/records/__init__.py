"""What archlab measures, as frozen dataclasses: free of torch, and JSON both ways.

Names are resolved on first use: to make all these classes takes longer than many a command that needs a few of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.records.check import Check as Check
    from archlab.records.check import Finding as Finding
    from archlab.records.checkpoint import Checkpoint as Checkpoint
    from archlab.records.checkpoint import StoredTensor as StoredTensor
    from archlab.records.comparison import Comparison as Comparison
    from archlab.records.comparison import Difference as Difference
    from archlab.records.comparison import Estimate as Estimate
    from archlab.records.comparison import VariantResult as VariantResult
    from archlab.records.config import TrainingConfig as TrainingConfig
    from archlab.records.config import Value as Value
    from archlab.records.data import DataSummary as DataSummary
    from archlab.records.data import PartSummary as PartSummary
    from archlab.records.decoding import Decoding as Decoding
    from archlab.records.decoding import DecodingPass as DecodingPass
    from archlab.records.diff import Change as Change
    from archlab.records.diff import Diff as Diff
    from archlab.records.diff import LayerDiff as LayerDiff
    from archlab.records.diff import Side as Side
    from archlab.records.document import Document as Document
    from archlab.records.graph import Graph as Graph
    from archlab.records.graph import GraphEdge as GraphEdge
    from archlab.records.graph import GraphNode as GraphNode
    from archlab.records.growth import Growth as Growth
    from archlab.records.growth import Stage as Stage
    from archlab.records.memory import MemoryEstimate as MemoryEstimate
    from archlab.records.memory import MemoryParts as MemoryParts
    from archlab.records.norm_health import NormHealth as NormHealth
    from archlab.records.norm_use import NormUse as NormUse
    from archlab.records.probe import GradientCorrelation as GradientCorrelation
    from archlab.records.probe import Landscape as Landscape
    from archlab.records.probe import LayerSeries as LayerSeries
    from archlab.records.probe import Probes as Probes
    from archlab.records.probe import Similarity as Similarity
    from archlab.records.probe import Smoothness as Smoothness
    from archlab.records.profile import LayerTime as LayerTime
    from archlab.records.profile import Machine as Machine
    from archlab.records.profile import Profile as Profile
    from archlab.records.profile import Rate as Rate
    from archlab.records.profile import Timing as Timing
    from archlab.records.run import Epoch as Epoch
    from archlab.records.run import NormRecording as NormRecording
    from archlab.records.run import Run as Run
    from archlab.records.surgery import Cut as Cut
    from archlab.records.surgery import Surgery as Surgery
    from archlab.records.trace import Failure as Failure
    from archlab.records.trace import Layer as Layer
    from archlab.records.trace import ReceptiveField as ReceptiveField
    from archlab.records.trace import Shape as Shape
    from archlab.records.trace import Totals as Totals
    from archlab.records.trace import Trace as Trace
    from archlab.records.trace import Weight as Weight
    from archlab.records.trace import Window as Window
    from archlab.records.verdict import Examination as Examination
    from archlab.records.verdict import Verdict as Verdict
    from archlab.records.verification import Discrepancy as Discrepancy
    from archlab.records.verification import Verification as Verification
    from archlab.records.watched import Watched as Watched

_NAMES = {
    "check": "Check Finding",
    "checkpoint": "Checkpoint StoredTensor",
    "comparison": "Comparison Difference Estimate VariantResult",
    "config": "TrainingConfig Value",
    "data": "DataSummary PartSummary",
    "decoding": "Decoding DecodingPass",
    "diff": "Change Diff LayerDiff Side",
    "document": "Document",
    "graph": "Graph GraphEdge GraphNode",
    "growth": "Growth Stage",
    "memory": "MemoryEstimate MemoryParts",
    "norm_health": "NormHealth",
    "norm_use": "NormUse",
    "probe": "GradientCorrelation Landscape LayerSeries Probes Similarity Smoothness",
    "profile": "LayerTime Machine Profile Rate Timing",
    "run": "Epoch NormRecording Run",
    "surgery": "Cut Surgery",
    "trace": "Failure Layer ReceptiveField Shape Totals Trace Weight Window",
    "verdict": "Examination Verdict",
    "verification": "Discrepancy Verification",
    "watched": "Watched",
}
"""Module -> the names that are its."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'archlab.records' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"archlab.records.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
