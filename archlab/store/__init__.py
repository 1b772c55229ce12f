"""Runs on disk: folders, index, checkpoints; nothing outside knows how a run is laid out."""

from archlab.store.store import Problem, Store, open_store, run_key

__all__ = ["Problem", "Store", "open_store", "run_key"]
