"""Which run answered a configuration before, so that a stored run is found without torch, network and images.

The key of a run is a hash of, among others, the first weights of its network: to know it one has to build that. The
store keeps, beside its list of runs, which key a configuration had while code, data and machine were as they are now
(`archlab.circumstances`). What was kept is only where to look: the run itself says whether it is the one.

Only of runs that workers train: a training in the command's own process takes as many threads as it finds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from importlib import metadata

from archlab.circumstances import code, digest, machine
from archlab.errors import StoreError
from archlab.records import Run, TrainingConfig
from archlab.store.index import Index
from archlab.training import images
from archlab.training.execution import Execution


class Asked:
    """The configurations that are asked for, and the keys that they had.

    Args:
        configs: settled ones.
        execution: where and how.
    """

    def __init__(self, configs: Sequence[TrainingConfig], execution: Execution) -> None:
        self._configs = configs
        self._store, self._fresh = execution.home, execution.fresh
        self._index = Index(self._store.path)
        self._questions = questions(configs, execution)

    def stored(self) -> dict[int, Run]:
        """The runs that are known to be what was asked for, by the place of their configuration; none to train anew."""
        if self._fresh:
            return {}
        keys = self._index.answers(self._questions.values())
        found: dict[int, Run] = {}
        for place, question in self._questions.items():
            if question in keys:
                with contextlib.suppress(StoreError):  # who looks for it in the usual way says so
                    run = self._store.result(keys[question])
                    if run is not None and run.config == self._configs[place]:
                        found[place] = run
        return found

    def keep(self, runs: Mapping[int, Run]) -> None:
        """Keep which runs were the answers, by the place of their configuration."""
        asked = {self._questions[place]: run.key for place, run in runs.items() if place in self._questions}
        self._index.keep_answers(asked)


def questions(configs: Sequence[TrainingConfig], execution: Execution) -> dict[int, str]:
    """What each configuration is called with all that decides its run, by its place; none where nobody can see that."""
    # On a cluster, other processors than this machine's may have trained what is asked for.
    engine = [] if execution.engine == "local" else [execution.engine]
    around = [str(execution.device or ""), *machine(), *engine, *([execution.stack] if execution.stack else [])]
    of_code = {config.network: code(config.network) for config in configs}
    of_data = {config.dataset: _data(config.dataset, execution) for config in configs}
    found = {}
    for place, config in enumerate(configs):
        versions, files = of_code[config.network], of_data[config.dataset]
        if versions is not None and files is not None:
            found[place] = digest(config.to_dict(), versions, files, around)
    return found


def _data(dataset: str, execution: Execution) -> list[object] | None:
    """What changes when the images do: a version, or names, sizes and times of files; None where they aren't there."""
    lies = images.files_of(dataset, execution.data_dir)
    if lies is None:
        return ["digits", metadata.version("scikit-learn")]
    root, names = lies
    found: list[object] = []
    for name in names:
        with contextlib.suppress(OSError):
            path = root / name
            state = path.stat()
            found.append([str(path), state.st_size, state.st_mtime_ns, state.st_ino])
    return found or None
