"""What the doctor found, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from qianfan_magic.doctor.finding import MARKS, Finding
from qianfan_magic.views.rendering.table import table_bundle

HEADS = ("", "looked at", "found", "what to do")


def doctor_bundle(findings: Sequence[Finding]) -> dict[str, str]:
    """Make the plain output of the findings; the text is the one of the command line."""
    rows = [(MARKS[one.state], one.what, one.said, one.todo) for one in findings]
    bundle = table_bundle(HEADS, rows)
    lines = [line for one in findings for line in one.lines]
    return bundle | {"text/plain": "\n".join(lines)}
