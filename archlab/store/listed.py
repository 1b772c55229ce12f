"""What lists say of a run, from a `run.json` as archlab writes it: in a fifth of the time of reading it whole.

Such a document holds its own hash, so that what a list doesn't show needn't be looked at. And of runs that differ in
their seed alone the configuration is read once, since its bytes are the same but for one line:

    "variant": "norm=batch",
    "seed": 3,
    "epochs": 5,
"""

from __future__ import annotations

import msgspec

from archlab.records.config import TrainingConfig
from archlab.records.entry import MEASURES, Entry, Setup, setup_of
from archlab.records.run import Run, Status
from archlab.records.watched import Watched
from archlab.store.run_folder import BEGINNING
from archlab.store.sealing import check_seal

_SEED = b'\n    "seed": '
"""A text in JSON holds no line break, so this is the beginning of a line."""


class _Run(msgspec.Struct):
    key: str
    config: msgspec.Raw
    status: Status
    epochs: list[msgspec.Raw] = []
    created: str = ""
    parameters: int = 0
    watched: msgspec.Raw | None = None


_RUN = msgspec.json.Decoder(_Run)
_EPOCH = msgspec.json.Decoder(msgspec.defstruct("Epoch", [(name, float | None, None) for name in MEASURES], gc=False))
_NONE = (None,) * len(MEASURES)


class Setups:
    """Setups by their texts: each is kept once, however many runs share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Setup] = {}
        self._read: dict[bytes, Setup] = {}
        """By the bytes of a configuration but for its seed."""

    def of(self, run: Run) -> Setup:
        """What the run shares with those that differ in their seed alone."""
        return self.kept(setup_of(run.config, run.watched))

    def kept(self, setup: Setup) -> Setup:
        """The setup of these texts: the one that is there, else this one."""
        return self._known.setdefault((setup.text, setup.watched), setup)

    def entry(self, content: bytes) -> Entry | None:
        """What lists say of the run of a `run.json`; None where that is for who reads it whole to say.

        Raises:
            StoreError: the bytes are not those that were written.
            msgspec.MsgspecError: they are none of a run.
        """
        if not content.startswith(BEGINNING) or not check_seal(content):
            return None
        run = _RUN.decode(content)
        config = bytes(run.config)
        start = config.find(_SEED)
        end = config.find(b",", start)
        seed = config[start + len(_SEED) : end]
        if start < 0 or not seed.isdigit() or (run.status == "finished" and not run.epochs and run.watched is None):
            return None
        rest = config[:start] + config[end:]
        if run.watched is not None:
            rest += bytes(run.watched)
        setup = self._read.get(rest)
        if setup is None:
            watched = None if run.watched is None else msgspec.json.decode(run.watched, type=Watched)
            setup = self._read[rest] = self.kept(setup_of(msgspec.json.decode(config, type=TrainingConfig), watched))
        last = run.epochs[-1] if run.epochs else None
        measured = _NONE if last is None else msgspec.structs.astuple(_EPOCH.decode(last))
        return Entry(run.key, run.status, run.created, setup, int(seed), len(run.epochs), run.parameters, *measured)
