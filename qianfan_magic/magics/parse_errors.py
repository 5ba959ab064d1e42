"""What is wrong with the line of a magic, in two lines that name what was probably meant."""

from __future__ import annotations

import argparse
import re

from qianfan_magic.errors import ParameterError
from qianfan_magic.language import mark, tr
from qianfan_magic.suggest import did_you_mean

__all__ = ["closing_quote_error", "flags_of", "parse_error"]

# argparse has messages (these are those of Python 3.11 to 3.14), but no types of errors.
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<word>\S+)")
_CHOICE = re.compile(r"argument (?P<argument>.+?): invalid choice: (?P<value>.+?) \(choose from")
#: Other messages, each with what is shown in its place.
_PLAINLY = {
    r"argument (?P<argument>.+?): expected (one|at least one) argument": mark(
        "{argument} needs a value"
    ),
    r"argument (?P<argument>.+?): invalid int value: (?P<value>.+)": (
        mark("{argument} is {value}, but must be a whole number")
    ),
    r"the following arguments are required: (?P<argument>.+)": mark("{argument} is missing"),
    r"ambiguous option: (?P<word>\S+) could match (?P<flags>.+)": (
        mark("{word} may stand for {flags}; write one of them in full")
    ),
}


def parse_error(parser: argparse.ArgumentParser, magic: str, message: str) -> ParameterError:
    """Return the error for a line that argparse cannot parse.

    Parameters
    ----------
    parser
        The parser; its flags and choices are suggested.
    magic
        What the line begins with, such as ``%%qianfan_chat``.
    message
        The message of argparse.
    """
    lists = tr("{magic} -h lists the flags.", magic=magic)
    if found := _CHOICE.match(message):
        return _choice_error(parser, magic, found["argument"], found["value"].strip("'\""))
    if not (found := _UNKNOWN.match(message)):
        for pattern, words in _PLAINLY.items():
            if other := re.match(pattern, message):
                message = tr(words, **other.groupdict())
        return ParameterError(f"{magic}: {message}", hint=lists)
    word = found["word"]
    if word.startswith("-"):
        hint = did_you_mean(word, flags_of(parser))
        return ParameterError(
            tr("{magic} has no flag {word}", magic=magic, word=word), hint=_joined(hint, lists)
        )
    below = tr("The question goes into the lines below.") * magic.startswith("%%")
    return ParameterError(
        tr("{magic} does not take {word!r} here", magic=magic, word=word),
        hint=_joined(lists, below),
    )


def closing_quote_error(magic: str) -> ParameterError:
    """Return the error for a line with a quote that is not closed."""
    return ParameterError(
        tr("{magic}: a quote in its line is not closed", magic=magic),
        hint=tr("""Close it; an apostrophe stands in double quotes, such as "it's"."""),
    )


def _choice_error(
    parser: argparse.ArgumentParser, magic: str, argument: str, value: str
) -> ParameterError:
    action = next(a for a in parser._actions if _shown_name(a) == argument)  # noqa: SLF001  see flags_of
    choices = [str(choice) for choice in action.choices or ()]
    close = did_you_mean(value, choices)
    if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001  see flags_of
        hint = _joined(close, tr("{magic} help lists them.", magic=magic))
        return ParameterError(
            tr("{magic} has no subcommand {value!r}", magic=magic, value=value), hint=hint
        )
    return ParameterError(
        tr(
            "{magic}: {argument} is {value!r}, but must be one of {choices}",
            magic=magic,
            argument=argument,
            value=value,
            choices=", ".join(choices),
        ),
        hint=close or tr("{magic} -h lists the flags.", magic=magic),
    )


def _shown_name(action: argparse.Action) -> str:
    """Return what argparse calls an argument in its messages."""
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def _joined(*sentences: str) -> str:
    return " ".join(sentence for sentence in sentences if sentence)


def flags_of(parser: argparse.ArgumentParser) -> list[str]:
    """List a parser's flags: long ones, and short ones without a long form."""
    actions = parser._actions  # noqa: SLF001  argparse has no public list of them
    listed: list[str] = []
    for action in actions:
        long_flags = [flag for flag in action.option_strings if flag.startswith("--")]
        listed += long_flags or action.option_strings[-1:]
    return listed
