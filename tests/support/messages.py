"""The catalogue of messages: ``python tests/support/messages.py`` updates it from the code.

It keeps translations, adds new messages without one, drops those that are gone, and compiles the
catalogue to what gettext reads. `tests/test_language.py` fails until all have been translated.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[2] / "qianfan_magic"
CATALOGUE = PACKAGE / "locale" / "zh" / "LC_MESSAGES" / "qianfan_magic.po"
METHODS = [("**.py", "python"), ("views/*.js", "javascript")]
KEYWORDS = {"tr": None, "mark": None, "trn": (1, 2)}


def extract() -> Catalog:
    """Collect the messages of the package's code, without translations."""
    messages = Catalog(project="qianfan_magic", charset="utf-8")
    for file, _, message, comments, _ in extract_from_dir(
        PACKAGE, METHODS, keywords=KEYWORDS, options_map={}
    ):
        messages.add(message, locations=[(f"qianfan_magic/{file}", 0)], auto_comments=comments)
    return messages


def read() -> Catalog:
    """Read the catalogue."""
    with CATALOGUE.open("rb") as file:
        return read_po(file, locale="zh")


def main() -> None:
    """Update the catalogue and compile it."""
    catalogue = read()
    catalogue.update(extract(), no_fuzzy_matching=True)
    catalogue.obsolete.clear()
    catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = "-"
    for message in catalogue:
        message.locations = sorted({(file, None) for file, _ in message.locations})
    with CATALOGUE.open("wb") as file:
        write_po(file, catalogue, width=100, omit_header=False, include_previous=False)
    with CATALOGUE.with_suffix(".mo").open("wb") as file:
        write_mo(file, read())


if __name__ == "__main__":
    main()
