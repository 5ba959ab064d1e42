"""Tab: flags, subcommands, endpoints used before and conversation names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from qianfan_magic.api.catalogue.cards import CARDS
from qianfan_magic.errors import QianfanError
from qianfan_magic.magics.arguments import COMPARED, flags_of
from qianfan_magic.magics.line_magic import SUBCOMMANDS
from qianfan_magic.magics.params_command import ROWS
from qianfan_magic.session.cell_options import FORMATS

if TYPE_CHECKING:
    from qianfan_magic.magics.magics import QianfanMagics

_LINE = re.compile(r"^\s*(?P<name>%%qianfan_chat|%%qianfan_complete|%qianfan)\s+(?P<rest>.*)$")


def make_matcher(magics: QianfanMagics) -> Any:
    """Make the matcher of one notebook, to be put among IPython's custom matchers."""

    @context_matcher(identifier="qianfan_magic")
    def qianfan_matcher(context: CompletionContext) -> SimpleMatcherResult:
        """Offer what may follow in a line of our magics; leave all other lines alone."""
        line = _LINE.match(context.text_until_cursor)
        if line is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        before, _, typed = line["rest"].rpartition(" ")
        offered = _offers(magics, line["name"], before.split())
        found = [SimpleCompletion(text=o, type="param") for o in offered if o.startswith(typed)]
        # IPython replaces its own token, which begins behind the last of its delimiters.
        return SimpleMatcherResult(
            completions=found, suppress=True, matched_fragment=typed, ordered=True
        )

    return qianfan_matcher


def _models(magics: QianfanMagics) -> list[str]:
    """List the models that are known: by a card, or since the service listed them."""
    try:
        cards = magics.session.catalogue.cards
    except QianfanError:  # of a file that the next cell will complain of
        cards = CARDS
    names = [card.name for card in cards]
    return [*names, *(name for name in magics.session.listed if name not in names)]


def _offers(magics: QianfanMagics, name: str, before: list[str]) -> Iterable[str]:
    last = before[-1] if before else ""
    values: dict[tuple[str, ...], Callable[[], Iterable[str]]] = {
        ("-n", "--conversation"): lambda: sorted(magics.session.conversations),
        ("-e", "--endpoint"): lambda: magics.session.endpoints[::-1],
        ("-m", "--model"): lambda: _models(magics),
        ("--format",): lambda: FORMATS,
        ("--compare",): lambda: [f"{name}=" for name in COMPARED],
    }
    for flags, offered in values.items():
        if last in flags:
            return offered()
    if name != "%qianfan":
        return flags_of(getattr(magics, name.lstrip("%")).parser)
    if not before:
        return SUBCOMMANDS
    if before[0] == "params":
        return [f"{name}=" for name in ROWS]
    parser = magics.subcommands.parser_of(before[0]) if before[0] in SUBCOMMANDS else None
    return flags_of(parser) if parser else []
