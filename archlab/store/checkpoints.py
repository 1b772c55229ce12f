"""Checkpoints of a run that goes on: what its folder holds of them, and which of them is whole.

    checkpoint-STEP-DIGEST.safetensors     after so many steps; the digest is the beginning of its content's SHA-256

A checkpoint is written aside, synced and renamed before the one before it goes, so that whenever a process or machine
stops there is a whole one. What is in it, `archlab.training.checkpoint` knows.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from archlab import files

_NAME = re.compile(r"checkpoint-(?P<step>\d{9,15})-(?P<digest>[0-9a-f]{16})\.safetensors")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that says that it is a checkpoint."""

    path: Path
    step: int
    """Optimiser steps that had been done."""

    def content(self) -> bytes | None:
        """What it holds; None where it is gone, or not as it was written."""
        try:
            content = files.read_regular(self.path)
        except OSError:
            return None
        return content if self.path.name == _name(self.step, content) else None


def checkpoints_in(folder: Path) -> list[Checkpoint]:
    """The checkpoints of a run's folder, the furthest first."""
    try:
        names = [(path, _NAME.fullmatch(path.name)) for path in folder.iterdir()]
    except OSError:
        return []
    found = [Checkpoint(path, int(match["step"])) for path, match in names if match]
    return sorted(found, key=lambda one: one.step, reverse=True)


def keep_checkpoint(folder: Path, step: int, content: bytes) -> None:
    """Keep a checkpoint in the place of those before it.

    Raises:
        OSError: it can't be written; those before it are still there.
    """
    path = folder / _name(step, content)
    with files.replacing(path) as draft, draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(OSError):  # Windows opens no folders
        held = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(held)
        finally:
            os.close(held)
    drop_checkpoints(folder, but=path)


def drop_checkpoints(folder: Path, but: Path | None = None) -> None:
    """Remove the checkpoints of a folder, except one."""
    for checkpoint in checkpoints_in(folder):
        if checkpoint.path != but:
            with contextlib.suppress(OSError):
                checkpoint.path.unlink(missing_ok=True)


def hand_on(checkpoint: Checkpoint, folder: Path) -> None:
    """Have a checkpoint in another folder of the same store too.

    Raises:
        OSError: it can't be written.
    """
    path = folder / checkpoint.path.name
    try:
        os.link(checkpoint.path, path)
    except OSError:  # a file system without links
        shutil.copyfile(checkpoint.path, path)


def _name(step: int, content: bytes) -> str:
    return f"checkpoint-{step:09}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
