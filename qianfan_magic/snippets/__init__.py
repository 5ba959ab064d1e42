"""A request as a program to copy: a shell script, Python with requests, or Python with the SDK.

The user's text is quoted as data in it; secrets are read from environment variables.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qianfan_magic.errors import ParameterError

if TYPE_CHECKING:
    from qianfan_magic.snippets.request import SnippetRequest

__all__ = ["LANGUAGES", "program"]

#: The module that writes each language. It is imported only when it is needed, which keeps
#: ``%load_ext`` fast.
_MODULES = {"curl": "curl", "python": "python_requests", "sdk": "qianfan_sdk"}
LANGUAGES = tuple(_MODULES)


def program(request: SnippetRequest, language: str) -> str:
    """Write a program that sends a request again and prints the answer.

    Parameters
    ----------
    request
        The request.
    language
        ``"curl"``: a POSIX shell script with curl, which prints the response as it arrives.
        ``"python"``: Python 3.9 with requests, which prints the text. ``"sdk"``: Python with
        Baidu's package ``qianfan`` (0.4.12.3), which prints the text; it adds
        ``"stream": false`` to a body without ``stream``.

    Returns
    -------
    str
        The program, which ends with a newline. Its first line names the variables that it needs.

    Raises
    ------
    ParameterError
        If the language is another, or the SDK cannot send the body.
    """
    if language not in LANGUAGES:
        raise ParameterError(
            f"There is no way to write a request as {language!r}",
            hint=f"Write it as one of {', '.join(LANGUAGES)}.",
        )
    module = import_module(f"{__name__}.{_MODULES[language]}")
    return str(module.write_program(request))
