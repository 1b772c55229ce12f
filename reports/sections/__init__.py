"""The sections of a page, in order."""

from __future__ import annotations

from archlab.reports.material import Material
from archlab.reports.section import Section
from archlab.reports.sections.experiment import experiment_section
from archlab.reports.sections.glossary import glossary_section
from archlab.reports.sections.networks import networks_section
from archlab.reports.sections.reproduction import reproduction_section
from archlab.reports.sections.summary import summary_section
from archlab.reports.text import slug


def sections(material: Material) -> list[Section]:
    """What a page on the material shows: findings first, then networks, trainings, and how to do it again."""
    parts = [summary_section(material)]
    if material.traces:
        parts.append(networks_section(material.traces))
    taken: list[str] = []
    for experiment in material.experiments:
        taken.append(slug(experiment.title, taken))
        parts.append(experiment_section(experiment, material, taken[-1]))
    parts.append(reproduction_section(material))
    parts.append(glossary_section(material))
    return parts
