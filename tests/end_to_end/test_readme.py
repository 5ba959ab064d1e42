"""The README and the documentation say what the program does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from qianfan_magic.api.catalogue.user_cards import read_cards
from qianfan_magic.api.mcp_servers import read_server
from qianfan_magic.magics import magics

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def flag_table() -> str:
    """Write the table of flags as it must stand in the reference."""
    chat = magics.QianfanMagics.qianfan_chat.parser._actions
    complete = magics.QianfanMagics.qianfan_complete.parser._actions
    chats, completions = ({action.dest for action in actions} for actions in (chat, complete))
    rows = ["| flag | |", "|---|---|"]
    for action in [*chat, *(action for action in complete if action.dest not in chats)]:
        names = "`, `".join(action.option_strings)
        choices = f" ({', '.join(action.choices)})" if action.choices else ""
        only = "" if action.dest in completions else " (chats only)"
        only = only if action.dest in chats else " (completions only)"
        rows.append(f"| `{names}` | {action.help.replace('%%', '%')}{choices}{only} |")
    return "\n".join(rows)


def test_flag_table_is_that_of_the_magics() -> None:
    stands = re.search(r"<!-- flags: begin -->\n(.*?)\n?<!-- flags: end -->", REFERENCE, re.DOTALL)
    assert stands[1] == flag_table(), f"The reference's table should be:\n{flag_table()}"


def test_every_dependency_has_its_line_in_the_table() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [e for group in project["optional-dependencies"].values() for e in group]
    names = {re.match(r"[\w-]+", e)[0] for e in project["dependencies"] + extras}
    section = README[README.index("## Dependencies") : README.index("## Tests")]
    unnamed = {
        "qianfan-magic",
        *("types-requests", "types-Pygments", "types-pexpect", "types-tqdm"),
    }  # itself, and the types that mypy reads
    assert {name for name in names - unnamed if name not in section} == set()


def test_every_subcommand_is_documented(bare) -> None:
    documented = set(re.findall(r"`%qianfan (\w+)", REFERENCE))
    undocumented = set(bare.magics.line_magic.commands) - documented
    assert undocumented == {"status"}  # documented as plain %qianfan


def test_cards_of_the_documentation_are_cards():
    models, _ = re.findall(r"```toml\n(.*?)```", SETTINGS, re.DOTALL)
    cards = read_cards(tomllib.loads(models)["qianfan"]["models"], "settings.md")
    assert [card.name for card in cards] == ["tutor", "ours"]


def test_mcp_servers_of_the_documentation_are_servers(tmp_path):
    _, servers = re.findall(r"```toml\n(.*?)```", SETTINGS, re.DOTALL)
    (tmp_path / "qianfan.toml").write_text(servers, "utf-8")
    assert read_server(tmp_path, "files")["command"] == "python"
    assert read_server(tmp_path, "maps")["url"].endswith("/mcp")


def test_chinese_readme_has_the_same_commands_and_pictures():
    chinese = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
    for what in (
        r"^python -m .*",
        r"docs/pictures/[\w.-]+",
        r"^\| [^|]+ \| `(%+\w+(?: -[\w-]+| \w+)?)",
    ):
        found = re.findall(what, README, re.MULTILINE)
        assert found, what
        assert re.findall(what, chinese, re.MULTILINE) == found, what
