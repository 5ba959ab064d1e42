"""The file ``qianfan.toml`` in the notebook's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qianfan_magic.api.config.text_file import read_text
from qianfan_magic.errors import SettingsError
from qianfan_magic.language import tr

__all__ = ["FILE", "read_table"]

FILE = "qianfan.toml"
#: The tables that it may have, below ``qianfan``.
TABLES = ("models", "mcp")
#: Largest number of dots in a line: tomllib (Python 3.11) takes minutes for a dotted key of 30,000
#: parts.
MAX_DOTS = 100


def read_table(folder: Path, name: str) -> Any:
    """Return a table of the file, which may be of any type; empty if there is no such file.

    Parameters
    ----------
    folder
        The notebook's folder.
    name
        One of `TABLES`.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not TOML, or has another table, which could be a misspelt
        one.
    """
    path = folder / FILE
    try:
        text = read_text(path)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or tr("it is not UTF-8")
        raise SettingsError(
            tr("{file} cannot be read: {reason}", file=FILE, reason=reason),
            hint=tr("Correct or move it."),
        ) from None
    document = _parse(text)
    table = document.get("qianfan", {})
    others = [f"[{other}]" for other in document if other != "qianfan"]
    if isinstance(table, Mapping):
        others += [f"[qianfan.{other}]" for other in table if other not in TABLES]
    if others:
        raise SettingsError(
            tr("{file} has {table}, an unknown table", file=FILE, table=others[0]),
            hint=tr("Models belong in the table [qianfan.models], MCP servers in [qianfan.mcp]."),
        )
    return table.get(name, {}) if isinstance(table, Mapping) else table


def _parse(text: str) -> dict[str, Any]:
    # Imported late: most folders have no such file.
    import tomllib

    too_deep = SettingsError(
        tr("{file} is not TOML: nested too deeply", file=FILE), hint=tr("Correct it.")
    )
    if any(line.count(".") > MAX_DOTS for line in text.splitlines()):
        raise too_deep
    try:
        document = tomllib.loads(text)
        repr(document)  # no message could show a hexadecimal number of thousands of digits
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            tr("{file} is not TOML: {error}", file=FILE, error=error), hint=tr("Correct that line.")
        ) from None
    except RecursionError:
        raise too_deep from None
    except ValueError:  # Python converts no more than 4,300 digits from and to text
        raise SettingsError(
            tr("{file} holds a number that is too long", file=FILE), hint=tr("Correct it.")
        ) from None
    return document
