"""Help as tables: what people use every day first, then the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qianfan_magic.views.reports.tables import Section, sections_bundle

__all__ = ["help_bundle"]


def help_bundle(
    usage: str, purpose: str, groups: Mapping[str, Sequence[tuple[str, str]]]
) -> dict[str, str]:
    """Make the MIME bundle of a help.

    Parameters
    ----------
    usage
        How the command is written.
    purpose
        What it does, in one sentence.
    groups
        By heading, rows of a flag or subcommand and what it does; empty groups are left out.
    """
    sections = [Section(heading, (), rows) for heading, rows in groups.items()]
    return sections_bundle(sections, title=usage, lead=purpose)
