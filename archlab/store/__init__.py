"""Runs on disk; nothing outside knows how they are laid out."""

from archlab.store.keys import run_key
from archlab.store.problem import Problem, unreadable
from archlab.store.run_folder import RunFolder
from archlab.store.store import Store, open_store

__all__ = ["Problem", "RunFolder", "Store", "open_store", "run_key", "unreadable"]
