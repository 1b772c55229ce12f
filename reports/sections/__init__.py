"""The sections of a page, in order."""

from __future__ import annotations

from archlab.records import VariantResult
from archlab.reports.material import Material
from archlab.reports.sections.claim import claim_section
from archlab.reports.sections.experiment import experiment_section
from archlab.reports.sections.glossary import glossary_section
from archlab.reports.sections.health import health_sections
from archlab.reports.sections.networks import networks_section
from archlab.reports.sections.profiles import profiles_section
from archlab.reports.sections.reproduction import reproduction_section
from archlab.reports.sections.summary import summary_section
from archlab.reports.sections.verdicts import examined
from archlab.reports.templating import Section
from archlab.reports.text import slug

RESERVED = (
    "claim",
    "summary",
    "networks",
    "profiles",
    "reproduction",
    "glossary",
    "theme",
    "print",
    "archlab-data",
    "plotly-js",
)
"""Identifiers of the page itself."""


def _variants(material: Material) -> tuple[VariantResult, ...]:
    """Those of the page's comparison, if it has one alone: only then is a network's colour that of a variant."""
    comparisons = [experiment.comparison for experiment in material.experiments if experiment.comparison is not None]
    return comparisons[0].variants if len(comparisons) == 1 else ()


def sections(material: Material) -> list[Section]:
    """What a page on the material shows: findings first, then trainings, networks, and how to do it again."""
    anchors: dict[int, str] = {}
    for place, experiment in enumerate(material.experiments):
        anchors[place] = slug(experiment.title, [*anchors.values(), *RESERVED])
    examinations = [examined(experiment, material) for experiment in material.experiments]
    found = [
        experiment_section(experiment, material, anchors[place], examinations[place])
        for place, experiment in enumerate(material.experiments)
    ]
    others = material.experiments or material.traces or material.profiles
    return [
        *([claim_section(material.results)] if material.results else []),
        *health_sections(material.healths),
        *([summary_section(material, anchors, examinations)] if others or not material.healths else []),
        *([profiles_section(material.profiles)] if material.profiles else []),
        *found,
        *([networks_section(material.traces, _variants(material))] if material.traces else []),
        reproduction_section(material),
        glossary_section(material),
    ]
