"""A request as a program to copy: a shell script, Python with requests, Python with the SDK.

What the user wrote stands in it as data, quoted; every secret as the name of a variable.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from qianfan_magic.errors import ParameterError

if TYPE_CHECKING:
    from qianfan_magic.snippets.request import SnippetRequest

__all__ = ["LANGUAGES", "program"]

#: The module that writes each language; its function has the language's name.
_MODULES = {"curl": "curl", "python": "python_requests", "sdk": "qianfan_sdk"}
LANGUAGES = tuple(_MODULES)


def program(sent: SnippetRequest, language: str) -> str:
    """Write a program that sends a request once more and prints its answer.

    Parameters
    ----------
    sent
        The request.
    language
        ``"curl"``: a POSIX shell script; it prints what the service answers, as it comes.
        ``"python"``: Python 3.9 with requests; it prints the text. ``"sdk"``: Python with Baidu's
        ``qianfan`` (0.4.12.3), which adds ``"stream": false`` to a body without ``stream``; it
        prints the text.

    Returns
    -------
    str
        Ends with a newline. Its first line says which variables it needs.

    Raises
    ------
    ParameterError
        For another language, and for a body that the SDK cannot send.
    """
    if language not in LANGUAGES:
        raise ParameterError(
            f"There is no way to write a request as {language!r}",
            hint=f"Write it as one of {', '.join(LANGUAGES)}.",
        )
    write = getattr(import_module(f"{__name__}.{_MODULES[language]}"), language)
    return str(write(sent))
