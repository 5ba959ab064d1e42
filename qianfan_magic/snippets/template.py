"""The parts of programs that are long enough to be files, and how they are filled in.

Parts of a line or two are written by the functions that choose between them: there, the choice
and its text are read together. Variables have their literal names in the files, so that a file
reads like the program; the tests run each program with those of `SnippetRequest.variables` only.
"""

from __future__ import annotations

import string
from importlib.resources import files

__all__ = ["fill"]


class _Template(string.Template):
    # Not "$", which would have to be doubled on almost every line of a shell script.
    delimiter = "@"


def fill(name: str, **values: str) -> str:
    r"""Replace the placeholders of a template (``@name``).

    The values are not searched for placeholders, so text of the user is safe in them.

    Parameters
    ----------
    name
        File in the folder ``templates``, without ``.tmpl``.
    **values
        Text by placeholder; every placeholder must have one.

    Returns
    -------
    str
        The text, which ends with a newline.

    Examples
    --------
    >>> print(fill("curl_read_token.sh", field="token").splitlines()[0])
    token=$(printf '%s\n' "$answer" | sed -n 's/.*"token" *: *"\([^"]*\)".*/\1/p')
    """
    file = files(__package__) / "templates" / f"{name}.tmpl"
    return _Template(file.read_text(encoding="utf-8")).substitute(values)
