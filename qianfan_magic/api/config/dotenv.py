"""Finding and reading the file ``.env``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from qianfan_magic.api.config.text_file import read_text
from qianfan_magic.errors import SettingsError
from qianfan_magic.language import tr

__all__ = ["DOT_ENV_VARIABLE", "find_dot_env", "read_dot_env"]

#: The environment variable that names another file than ``.env``.
DOT_ENV_VARIABLE = "QIANFAN_DOT_ENV_CONFIG_FILE"
#: Blanks in a line for which python-dotenv (1.2) takes quadratic time.
_LONG_BLANK = re.compile(r"[^\S\n]{1000}")


def find_dot_env(folder: Path, environ: Mapping[str, str]) -> Path | None:
    """Find the ``.env`` to read.

    Parameters
    ----------
    folder
        An absolute path; ``.env`` is looked for here and then in each folder above.
    environ
        Environment variables; ``QIANFAN_DOT_ENV_CONFIG_FILE`` names another file, or the null
        device for no file at all.

    Returns
    -------
    Path or None
        None if there is no such file.

    Raises
    ------
    SettingsError
        If ``QIANFAN_DOT_ENV_CONFIG_FILE`` names a file that does not exist.
    """
    named = environ.get(DOT_ENV_VARIABLE)
    if named == os.devnull:
        return None
    if named:
        if not os.path.isfile(named):  # noqa: PTH113  Path.is_file raises for a name that is too long
            raise SettingsError(
                tr(
                    "{variable} names a file that is not there",
                    variable=DOT_ENV_VARIABLE,
                ),
                hint=tr("Correct or unset it."),
            )
        return Path(named)
    candidates = (parent / ".env" for parent in (folder, *folder.parents))
    return next((path for path in candidates if path.is_file()), None)


def read_dot_env(path: Path) -> dict[str, str]:
    """Return the variables that a ``.env`` sets, without the empty ones.

    Raises
    ------
    SettingsError
        If the file cannot be read, is not UTF-8, or has a line that is not ``NAME=value``. The
        message names the line by its number and quotes nothing.
    """
    # Imported late: most sessions with keys in the environment have no .env.
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    text = _read_text(path)
    # dotenv_values passes over a malformed line with a warning, so the lines are checked first.
    if blanks := _LONG_BLANK.search(text):
        raise _malformed(path, text.count("\n", 0, blanks.start()) + 1)
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            # python-dotenv counts the empty lines before a binding as part of it.
            blank = re.match(r"\s*", binding.original.string)
            line = binding.original.line + (blank[0].count("\n") if blank else 0)
            raise _malformed(path, line)
    # interpolate: a key may contain "${", which is not meant as a variable.
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    return {name: value.strip() for name, value in values.items() if value and value.strip()}


def _malformed(path: Path, line: int) -> SettingsError:
    return SettingsError(
        tr("Line {line} of {name} is not of the form NAME=value", line=line, name=path.name),
        hint=tr("Compare it with .env.example."),
    )


def _read_text(path: Path) -> str:
    try:
        text = read_text(path)
    except OSError as error:
        raise SettingsError(
            tr("The file {name} cannot be read: {reason}", name=path.name, reason=error.strerror),
            hint=tr("Correct or move it."),
        ) from None
    except UnicodeDecodeError:
        raise _not_utf_8(path) from None
    if "\0" in text:  # UTF-16 without a byte order mark
        raise _not_utf_8(path)
    return text


def _not_utf_8(path: Path) -> SettingsError:
    return SettingsError(
        tr("The file {name} is not UTF-8", name=path.name), hint=tr("Save it as UTF-8.")
    )
