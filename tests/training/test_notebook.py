"""The bar that a notebook shows while runs are trained."""

from __future__ import annotations

from archlab.records import TrainingConfig
from archlab.training.notebook import NotebookBar, in_notebook, showing
from archlab.training.progress import Progress


def test_the_bar_says_how_far_the_runs_are_and_how_it_ended() -> None:
    drawn: list[dict[str, str]] = []
    bar = NotebookBar(2, drawn.append)
    first, second = (TrainingConfig(variant="norm=<none>", seed=seed, epochs=2) for seed in (0, 1))
    bar(Progress(first, "started", steps=10))
    bar(Progress(first, "finished", steps=10))
    assert drawn[-1]["text/plain"] == "1 of 2 runs: 1 finished"
    bar(Progress(second, "started", steps=10))
    bar(Progress(second, "step", epoch=1, step=5, steps=10))
    bar.close()  # it was stopped
    assert drawn[-1]["text/plain"] == "1 of 2 runs: 1 finished\nstopped at norm=<none>, seed 1: epoch 2/2"
    assert 'value="1.500" max="2"' in drawn[-1]["text/html"]  # 1 + 5/10
    assert "&lt;none&gt;" in drawn[-1]["text/html"]


def test_outside_a_notebook_nothing_is_drawn() -> None:
    assert not in_notebook()
    with showing(None, 1) as tell:
        assert not isinstance(tell, NotebookBar)
    heard: list[Progress] = []
    with showing(heard.append, 1) as tell:
        tell(Progress(TrainingConfig(), "started"))
    assert len(heard) == 1
