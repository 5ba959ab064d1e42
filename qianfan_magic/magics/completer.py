"""Tab completion: flags, subcommands, services used before, and names of conversations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from qianfan_magic.api.catalogue.cards import package_cards
from qianfan_magic.api.tools import CHOICES
from qianfan_magic.errors import QianfanError
from qianfan_magic.magics.arguments import COMPARED
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.magics.params_command import SLIDER_PARAMETERS
from qianfan_magic.magics.parse_errors import flags_of
from qianfan_magic.session.cell_options import FORMATS

if TYPE_CHECKING:
    import argparse

    from qianfan_magic.magics.line_magic import LineMagic

__all__ = ["make_matcher"]

#: A line of one of our magics, up to the cursor.
_LINE = re.compile(r"^\s*%{1,2}(?P<name>qianfan(?:_chat|_complete|_map)?)\s+(?P<rest>.*)$")


def make_matcher(
    context: MagicContext,
    *,
    cell_parsers: Mapping[str, argparse.ArgumentParser],
    line_magic: LineMagic,
) -> Any:
    """Make the matcher of one notebook, for IPython's list of custom matchers (IPython 8.6).

    Parameters
    ----------
    context
        The notebook.
    cell_parsers
        The parsers of the cell magics, by the names of the magics.
    line_magic
        Knows the subcommands of ``%qianfan`` and their parsers.
    """

    @context_matcher(identifier="qianfan_magic")
    def qianfan_matcher(completion: CompletionContext) -> SimpleMatcherResult:
        """Complete a line of our magics; all other lines are left to IPython."""
        line = _LINE.match(completion.text_until_cursor)
        if line is None:
            return SimpleMatcherResult(completions=[], suppress=False)
        before, _, typed = line["rest"].rpartition(" ")
        words = before.split()
        offers = _values(context, words[-1] if words else "")
        if offers is None:
            parser = cell_parsers.get(line["name"])
            offers = flags_of(parser) if parser else _subcommand_offers(line_magic, words)
        matches = [SimpleCompletion(text=o, type="param") for o in offers if o.startswith(typed)]
        # By default IPython replaces its own token, which begins behind the last delimiter, such
        # as the "=" of "--compare model=".
        return SimpleMatcherResult(
            completions=matches, suppress=True, matched_fragment=typed, ordered=True
        )

    return qianfan_matcher


def _values(context: MagicContext, flag: str) -> Iterable[str] | None:
    """Return the values that may follow a flag; None if it has none to offer."""
    session = context.session
    values: dict[tuple[str, ...], Callable[[], Iterable[str]]] = {
        ("-n", "--conversation"): lambda: sorted(session.conversations.names),
        ("-e", "--endpoint"): lambda: session.used_services[::-1],
        ("-m", "--model"): lambda: _models(context),
        ("--format",): lambda: FORMATS,
        ("--tool",): lambda: _functions(context),
        ("--tool-choice",): lambda: [*CHOICES, *_functions(context)],
        ("--compare",): lambda: [f"{name}=" for name in COMPARED],
    }
    return next((offer() for flags, offer in values.items() if flag in flags), None)


def _functions(context: MagicContext) -> list[str]:
    """List the functions that the notebook has defined."""
    shell = context.shell
    return [
        name
        for name, value in shell.user_ns.items()
        if inspect.isfunction(value) and name not in shell.user_ns_hidden
    ]


def _models(context: MagicContext) -> list[str]:
    """List the models that are known from a card or from the service's list."""
    try:
        cards = context.session.load_catalogue().cards
    except QianfanError:  # an invalid qianfan.toml, which the next cell reports
        cards = package_cards()
    names = [card.name for card in cards]
    return [*names, *(name for name in context.session.listed_models if name not in names)]


def _subcommand_offers(line_magic: LineMagic, words: list[str]) -> Iterable[str]:
    """List subcommands, or what may follow the one that has been typed."""
    if not words:
        return line_magic.commands
    if words[0] == "params":
        return [f"{name}=" for name in SLIDER_PARAMETERS]
    return flags_of(line_magic.parser_of(words[0])) if words[0] in line_magic.commands else []
