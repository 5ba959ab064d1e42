"""The language of messages: English, or Chinese by the catalogue in ``locale``.

`tr` translates a message where it is shown; `mark` names one in a table, which `tr` translates
later. Babel collects both: CONTRIBUTING.md says how.
"""

from __future__ import annotations

import gettext
import locale
import os
from functools import cache
from pathlib import Path

__all__ = ["LANGUAGES", "choose_language", "current_language", "mark", "tr", "trn"]

#: Values of QIANFAN_LANGUAGE: ``auto`` follows the locale.
LANGUAGES = ("auto", "en", "zh")


#: What the setting QIANFAN_LANGUAGE says.
_chosen = LANGUAGES[0]


def choose_language(name: str) -> None:
    """Choose the language of this process's messages: one of `LANGUAGES`."""
    global _chosen  # noqa: PLW0603  messages are made everywhere, and belong to no session
    _chosen = name


def current_language() -> str:
    """Return the language of messages: ``en`` or ``zh``.

    It is the chosen one, or that of the locale. Under pytest it is English, since nbval compares
    the outputs of notebooks.
    """
    if "PYTEST_VERSION" in os.environ:  # nbval's kernel inherits it
        return "en"
    if _chosen != "auto":
        return _chosen
    return "zh" if _locale().lower().startswith(("zh", "chinese")) else "en"


def tr(message: str, /, **values: object) -> str:
    """Translate a message into the current language.

    Parameters
    ----------
    message
        The English message; with values, a format of `str.format`.
    **values
        What stands for its names in braces.

    Examples
    --------
    >>> tr("There is no column {number}", number=4)
    'There is no column 4'
    """
    language = current_language()
    text = message if language == "en" else _catalogue(language).gettext(message)
    return text.format(**values) if values else text


def trn(one: str, many: str, count: int, /, **values: object) -> str:
    """Translate a message that names a number, which stands for ``{count}``.

    Parameters
    ----------
    one, many
        The English message for a count of 1, and for all others.
    count
        The number.
    **values
        As of `tr`.

    Examples
    --------
    >>> trn("{count} turn", "{count} turns", 2)
    '2 turns'
    """
    language = current_language()
    catalogue = gettext.NullTranslations() if language == "en" else _catalogue(language)
    return catalogue.ngettext(one, many, count).format(count=count, **values)


def mark(message: str, /) -> str:
    """Return a message as it is, which is translated where it is shown."""
    return message


def _locale() -> str:
    """Return the name of the locale of messages, such as ``zh_CN.UTF-8``."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(variable):
            return os.environ[variable]
    return locale.getlocale()[0] or ""  # Windows sets no variable


@cache
def _catalogue(language: str) -> gettext.NullTranslations:
    folder = Path(__file__).with_name("locale")
    return gettext.translation("qianfan_magic", folder, [language], fallback=True)
