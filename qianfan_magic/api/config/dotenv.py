"""The file ``.env``: which one counts, and what it says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from qianfan_magic.errors import SettingsError

DOT_ENV_VARIABLE = "QIANFAN_DOT_ENV_CONFIG_FILE"


def find_dot_env(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the ``.env`` that counts, or None; the null device stands for none at all.

    Raises
    ------
    SettingsError
        If QIANFAN_DOT_ENV_CONFIG_FILE names a file that is not there.
    """
    named = environ.get(DOT_ENV_VARIABLE)
    if named == os.devnull:
        return None
    if named:
        if not os.path.isfile(named):  # noqa: PTH113  Path's raises for a name that is too long
            raise SettingsError(
                f"{DOT_ENV_VARIABLE} names a file that is not there", hint="Correct or unset it."
            )
        return Path(named)
    beside = (parent / ".env" for parent in (folder, *folder.parents))
    return next((path for path in beside if path.is_file()), None)


def read_dot_env(path: Path) -> dict[str, str]:
    """Return what a ``.env`` sets.

    Raises
    ------
    SettingsError
        If it cannot be read, is not UTF-8, or has a line that sets nothing; shows no value.
    """
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "cannot be read"
        raise SettingsError(f"The file {path.name} {problem}", hint="Save it as UTF-8.") from None
    if "\0" in text:
        raise SettingsError(f"The file {path.name} is not UTF-8", hint="Save it as UTF-8.")
    for known in parse_stream(StringIO(text)):
        if known.error:
            # python-dotenv counts the empty lines before a setting to it.
            before = re.match(r"\s*", known.original.string)
            line = known.original.line + (before[0].count("\n") if before else 0)
            raise SettingsError(
                f"Line {line} of {path.name} is not of the form NAME=value",
                hint="Compare it with .env.example.",
            )
    # A key may hold what python-dotenv would take for a variable.
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value.strip() for name, value in values.items() if value and value.strip()}
