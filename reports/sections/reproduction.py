"""How to do it again: command, configuration, environment, data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archlab.records import Run
from archlab.reports.material import Experiment, Material
from archlab.reports.templating import Section, render


@dataclass(frozen=True)
class Recipe:
    """What one experiment was made from."""

    title: str
    command: str
    environment: Mapping[str, object]
    runs: tuple[Run, ...]
    configuration: str
    """Of the first run, as JSON."""


def reproduction_section(material: Material) -> Section:
    """The command, and for each experiment its environment, configuration and runs."""
    recipes = [_recipe(experiment) for experiment in material.experiments]
    return Section(
        "reproduction", "Reproduction", render("reproduction.html", recipes=recipes, command=material.command)
    )


def _recipe(experiment: Experiment) -> Recipe:
    comparison, runs = experiment.comparison, experiment.runs
    environment = dict(comparison.environment if comparison else runs[0].environment)
    command = str(environment.pop("command", ""))
    return Recipe(
        title=experiment.title,
        command=comparison.command if comparison and comparison.command else command,
        environment=environment,
        runs=runs,
        configuration=runs[0].config.to_json() if runs and not runs[0].watched else "",
    )
