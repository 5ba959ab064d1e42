"""What the browser gets of the package: scripts and styles that need nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from qianfan_magic import views

FILES = [
    path
    for path in Path(views.__file__).parent.rglob("*")
    if path.suffix in {".js", ".css", ".json", ".html", ".svg"}
]
#: Addresses, what loads something from one, and what a content security policy forbids.
OUTSIDE = re.compile(
    r"""\b(?:https?|wss?|ftp|data|javascript):\S | ["'`(]\s*//\w | @import | \burl\(
    | \b(?:import|fetch|eval|Function|importScripts|document\.write)\s*\(
    | \b(?:XMLHttpRequest|WebSocket|EventSource|Worker|sendBeacon)\b
    | \bsetAttribute\(\s*["'](?:style|on\w+)["'] | \.src\b | \.cssText\b
    """,
    re.VERBOSE,
)


def test_scripts_and_styles_name_no_address_and_run_under_a_content_security_policy():
    assert len(FILES) >= 8
    found = {path.name: OUTSIDE.findall(path.read_text("utf-8")) for path in FILES}
    assert {name: outside for name, outside in found.items() if outside} == {}
