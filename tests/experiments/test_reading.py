from __future__ import annotations

from pathlib import Path

import pytest

from archlab.errors import InputError
from archlab.experiments import experiment, names, planned
from archlab.records.experiment import Experiment
from tests.experiments.tiny import TINY


def read(tmp_path: Path, text: str) -> Experiment:
    path = tmp_path / "tiny.toml"
    path.write_text(text, encoding="utf-8")
    return experiment(path)


def test_a_file_is_an_experiment_of_its_name_and_survives_json(tmp_path: Path) -> None:
    found = read(tmp_path, TINY)
    assert (found.name, found.title, found.seeds) == ("tiny", "Tiny", 2)
    assert [part.name for part in found.parts] == ["norm", "smooth", "running", "rates", "networks"]
    assert found.parts[0].vary == {"norm": ("batch", "none")}
    assert Experiment.from_json(found.to_json()) == found


@pytest.mark.parametrize("name", names())
def test_what_comes_with_archlab_can_be_planned_on_each_data_set(name: str) -> None:
    found = experiment(name)
    assert found.name == name
    for dataset in ("digits", "fashion-mnist", "cifar10"):
        plans = planned(found, chosen={"dataset": dataset})
        assert {config.dataset for plan in plans for config in plan.design.configs} == {dataset}
        assert all("batch_size" in plan.chosen or "batch_size" in plan.part.vary for plan in plans)
    assert all(one.published for part in found.parts for one in part.expect)


@pytest.mark.parametrize(
    ("given", "becomes", "message"),
    [
        ("claim =", "clam =", "has a key 'clam', which is unknown there: did you mean claim"),
        ('claim = "Without BatchNorm LeNet is worse."', "", "missing required field `claim`"),
        ("seeds = 2", "seeds = 0", "seeds is 0, expected how many: 1 or more"),
        ("seeds = 2", 'seeds = "two"', "is no experiment: Expected `int`"),
        ("epochs = 1", "epoch = 1", "has a setting 'epoch', which is unknown: did you mean epochs"),
        ("epochs = 1", "epochs = 0", "epochs is 0, expected 1 or more"),
        ("epochs = 1", "seed = 1", "has a setting 'seed', which is unknown"),
        ("size = 16", 'dataset = "mnist"', "data set digits: dataset is set"),
        ('name = "smooth"', 'name = "norm"', "names its parts norm, norm, running, rates, networks"),
        ('name = "norm"\nnetwork = "lenet"', 'name = "norm"', "expected either network and what it varies, or several"),
        ('vary = { norm = ["batch", "none"] }\n\n', "", "part 'norm': nothing varies"),
        ('direction = "lower"', 'direction = "less"', "Invalid enum value 'less'"),
        ('published = "much worse"', 'publish = "much"', "part 'norm' has a key 'publish'"),
        ('metric = "smoothness"', 'metric = "smooth"', "metric is 'smooth': did you mean smoothness"),
        ("rates = [0.1, 0.2]", "rates = [0.1]", r"rates is \[0.1\], expected the lowest and the highest"),
        ('metric = "max_lr"', "", "with the metric max_lr alone"),
        ('name = "wide", ', "", "networks names too few"),
        ("[settings]", "[settings", "is no TOML"),
    ],
)
def test_what_can_not_be_meant_is_one_clear_message(tmp_path: Path, given: str, becomes: str, message: str) -> None:
    assert given in TINY
    with pytest.raises(InputError, match=message) as error:
        read(tmp_path, TINY.replace(given, becomes, 1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "becomes", "message"),
    [
        ('variant = "norm=none"', 'variant = "norm=nome"', "which its comparison does not hold against each other"),
        ('norm = ["batch", "none"]', 'nrm = ["batch", "none"]', "lenet has no option 'nrm'"),
        ("probe_every = 1", "probe_every = 0", "set probe_every = 5"),
        ('network = "lenet"', 'network = "lenot"', "lenot"),
    ],
)
def test_what_can_not_be_trained_is_refused_before_anything_is(
    tmp_path: Path, given: str, becomes: str, message: str
) -> None:
    found = read(tmp_path, TINY.replace(given, becomes, 1))
    with pytest.raises(InputError, match=message):
        planned(found)


def test_an_unknown_name_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no experiment 'degradatoin': did you mean degradation"):
        experiment("degradatoin")
    with pytest.raises(InputError, match=r"none.toml can't be read: No such file"):
        experiment(tmp_path / "none.toml")
