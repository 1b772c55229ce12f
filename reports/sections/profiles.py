"""Where the time goes: each profile's times and its roofline."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.records import Profile
from archlab.reports.charts.roofline import profile_panel
from archlab.reports.sections.networks import network_names
from archlab.reports.templating import Section, render
from archlab.reports.text import slug
from archlab.tables.profile import profile_table
from archlab.tables.table import written_rows


def profiles_section(profiles: Sequence[Profile]) -> Section:
    """All profiles, one after the other."""
    taken: list[str] = []
    parts = []
    for name, profile in zip(network_names([item.trace for item in profiles]), profiles, strict=True):
        taken.append(slug(f"profile-{name}", taken))
        parts.append(_profile(profile, name, taken[-1]))
    return Section("profiles", "Where the time goes", "", parts=tuple(parts))


def _profile(profile: Profile, name: str, anchor: str) -> Section:
    panel = profile_panel(profile, f"{anchor}-roofline")
    table = profile_table(profile)
    body = render("profile.html", profile=profile, table=table, rows=written_rows(table), panel=panel)
    return Section(anchor, name, body, (panel,) if panel else ())
