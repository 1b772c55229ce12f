from __future__ import annotations

from archlab.records import DataSummary, PartSummary, Run, TrainingConfig

PART = PartSummary((2, 0), (0.1,), (0.2,), (0.05,), 3.5)
DATA = DataSummary(("cat", "dog"), PART, PartSummary((1, 1), (0.1,), (0.2,), (0.05,)), 1, 1, (0, -1))


def test_a_run_with_its_data_is_read_back() -> None:
    run = Run("key", TrainingConfig(), "finished", data=DATA, predicted=(2, 0))
    assert Run.from_json(run.to_json()) == run
    assert run.to_dict()["data"]["train"] == {
        "counts": [2, 0],
        "mean": [0.1],
        "deviation": [0.2],
        "spread": [0.05],
        "separation": 3.5,
    }
    assert DATA.train.images == 2


def test_a_run_of_an_older_version_has_neither_data_nor_answers() -> None:
    document = Run("key", TrainingConfig(), "finished", data=DATA, predicted=(2, 0)).to_dict()
    del document["data"], document["predicted"]
    older = Run.from_dict(document)
    assert (older.data, older.predicted) == (None, ())
