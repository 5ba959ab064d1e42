"""The one table of request parameters.

Flags, checks, defaults in ``%config`` and the documentation are all derived from it. Names,
types and ranges are those of the API documents of Dolly-12B, StarCoder, AquilaCode-multi and
StableLM-Alpha-7B; `system`, `max_tokens`, `response_format`, `disable_search` and
`enable_citation` are of the newer chat models' documents.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

from qianfan_magic.errors import ParameterError

Kind = Literal["chat", "completion"]
BOTH: tuple[Kind, ...] = ("chat", "completion")
CHAT: tuple[Kind, ...] = ("chat",)

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One row of the table.

    Attributes
    ----------
    name
        In Python and in ``%config QianfanMagics.<name>``.
    type
        ``float``, ``int``, ``bool``, ``str``, or ``list`` (of texts).
    help
        One sentence for a reader who has not met it.
    flags
        Of both cell magics; none where it has no flag.
    wire
        Version 1's own name, where it differs.
    kinds
        The services that know it.
    minimum, maximum
        Bounds of a number, both allowed unless `above` (then the minimum itself is not).
    most_items, longest
        Bounds of a list: how many, and of how many characters each.
    choices
        The only values allowed.
    """

    name: str
    type: type
    help: str
    flags: tuple[str, ...] = ()
    wire: str = ""
    kinds: tuple[Kind, ...] = BOTH
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    most_items: int = 0
    longest: int = 0
    choices: tuple[str, ...] = ()

    @property
    def range(self) -> str:
        """What is allowed, as a reader would write it: ``a number in (0, 1.0]``."""
        if self.choices:
            return " or ".join(self.choices)
        if self.type is list:
            return f"at most {self.most_items} texts of 1 to {self.longest} characters"
        if self.maximum is not None:
            opening = "(" if self.above else "["
            return f"{_WORDS[self.type]} in {opening}{self.minimum:g}, {self.maximum:g}]"
        if self.minimum is not None:
            return f"{_WORDS[self.type]} from {self.minimum:g}"
        return _WORDS[self.type]

    def check(self, value: Any) -> Any:
        """Return a value as it goes onto the wire.

        Parameters
        ----------
        value
            As a program gives it; numpy's numbers are welcome.

        Returns
        -------
        float, int, bool, str or list of str
            A plain JSON value.

        Raises
        ------
        ParameterError
            Names the parameter, the value and the range.
        """
        plain = _PLAIN[self.type](value)
        if plain is None or not self._allows(plain):
            raise self._refusal(value)
        return plain

    def parse(self, text: str | list[str]) -> Any:
        """Return the checked value of what was typed behind a flag, or raise as `check` does."""
        if self.type in {float, int} and isinstance(text, str):
            try:
                return self.check(self.type(text))
            except ValueError:
                raise self._refusal(text) from None
        return self.check(text)

    def _allows(self, value: Any) -> bool:
        if self.choices:
            return value in self.choices
        if isinstance(value, list):
            return len(value) <= self.most_items and all(1 <= len(s) <= self.longest for s in value)
        if isinstance(value, str):
            return bool(value)
        below = self.minimum is not None and (value < self.minimum)
        touches = self.above and value == self.minimum
        beyond = self.maximum is not None and value > self.maximum
        return not (below or touches or beyond)

    def _refusal(self, value: Any) -> ParameterError:
        typed = f" ({self.flags[-1]})" if self.flags else ""
        return ParameterError(
            f"{self.name} is {_shown(value)}, but must be {self.range}",
            hint=f"{self.name}{typed}: {self.help}",
        )


def _shown(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def _plain_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        plain = float(value)
    except OverflowError:
        return None
    return plain if math.isfinite(plain) else None


def _plain_int(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    plain = int(value)
    return plain if plain.bit_length() < 64 else None  # noqa: PLR2004  what JSON readers take


def _plain_list(value: Any) -> list[str] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return None
    return list(value) if all(map(_is_text, value)) else None


def _is_text(value: Any) -> bool:
    """Tell whether it is text that UTF-8 can carry: without half characters."""
    try:
        return isinstance(value, str) and bool(value.encode() or True)
    except UnicodeEncodeError:
        return False


_PLAIN: dict[type, Callable[[Any], Any]] = {
    float: _plain_float,
    int: _plain_int,
    list: _plain_list,
    bool: lambda value: value if isinstance(value, bool) else None,
    str: lambda value: value if _is_text(value) else None,
}

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        name="temperature",
        type=float,
        flags=("-t", "--temperature"),
        minimum=0,
        above=True,
        maximum=1,
        help="higher is more random, lower more predictable; set only one of it and top_p",
    ),
    Parameter(
        name="top_p",
        type=float,
        flags=("--top-p",),
        minimum=0,
        maximum=1,
        help="higher gives more varied text; set only one of it and temperature",
    ),
    Parameter(
        name="top_k",
        type=int,
        flags=("--top-k",),
        minimum=1,
        help="the next token is drawn from this many of the likeliest",
    ),
    Parameter(
        name="penalty_score",
        type=float,
        flags=("--penalty-score",),
        minimum=1,
        maximum=2,
        help="higher repeats less",
    ),
    Parameter(
        name="stop",
        type=list,
        flags=("--stop",),
        most_items=4,
        longest=20,
        help="the answer stops where it ends with this text; may be given up to four times",
    ),
    Parameter(
        name="max_tokens",
        type=int,
        flags=("--max-tokens",),
        wire="max_output_tokens",
        kinds=CHAT,
        minimum=2,
        maximum=2048,
        help="the longest answer, in tokens; chat models only",
    ),
    Parameter(
        name="user_id",
        type=str,
        flags=("--user-id",),
        help="your own mark for the person who asks, so that misuse can be traced",
    ),
    Parameter(
        name="system",
        type=str,
        kinds=CHAT,
        help="how the model is to behave in the whole conversation; newer chat models only",
    ),
    Parameter(
        name="response_format",
        type=str,
        kinds=CHAT,
        choices=("text", "json_object"),
        help="the form of the answer; newer chat models only",
    ),
    Parameter(
        name="disable_search",
        type=bool,
        kinds=CHAT,
        help="answer without searching the web; newer chat models only",
    ),
    Parameter(
        name="enable_citation",
        type=bool,
        kinds=CHAT,
        help="number the sources of a web search; newer chat models only",
    ),
)
#: What belongs to the sending of a request and not to its body.
SENDING: tuple[Parameter, ...] = (
    Parameter(
        name="timeout",
        type=float,
        flags=("--timeout",),
        minimum=0,
        maximum=86_400,
        help="seconds without a byte before giving up; 0 waits for ever",
    ),
    Parameter(
        name="retries",
        type=int,
        flags=("--retries",),
        minimum=1,
        maximum=100,
        help="attempts in total, as long as nothing of the answer has arrived",
    ),
)
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}
#: Those with flags, which are those that a notebook may set for every cell.
FLAGGED = tuple(parameter for parameter in PARAMETERS if parameter.flags)


def check_parameters(values: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Check the parameters of one request.

    Parameters
    ----------
    values
        By name; None stands for "let the service decide" and is left out.
    kind
        The service that is asked, ``"chat"`` or ``"completion"``.

    Returns
    -------
    dict
        Plain JSON values by the names of this table.

    Raises
    ------
    ParameterError
        For an unknown name, one that this kind of service lacks, or a value out of range.
    """
    checked = {}
    for name, value in values.items():
        parameter = BY_NAME.get(name)
        if parameter is None:
            raise _unknown(name)
        if value is None:
            continue
        if kind not in parameter.kinds:
            raise ParameterError(
                f"{name} is a parameter of {' and '.join(parameter.kinds)} services, "
                f"and this one is of the kind {kind}",
                hint=f"Leave {name} out.",
            )
        checked[name] = parameter.check(value)
    return checked


def _unknown(name: str) -> ParameterError:
    wire_names = {parameter.wire: parameter.name for parameter in PARAMETERS if parameter.wire}
    near = [wire_names[name]] if name in wire_names else difflib.get_close_matches(name, BY_NAME)
    return ParameterError(
        f"There is no parameter {name!r}",
        hint=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(BY_NAME)}.",
    )


def check_text(text: Any, what: str) -> str:
    """Return a text that can go onto the wire.

    Parameters
    ----------
    text
        A prompt, or the content of a message.
    what
        Its name in the error.

    Raises
    ------
    ParameterError
        If it is no text, is blank, or holds a lone surrogate, which UTF-8 cannot carry.
    """
    if not isinstance(text, str):
        raise ParameterError(f"{what} is {type(text).__name__}, but must be text (str)")
    if not text.strip():
        raise ParameterError(f"{what} is empty", hint="Write what you want to ask into the cell.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ParameterError(
            f"{what} holds half of a character (a lone surrogate) at position {error.start}",
            hint="It was cut or decoded wrongly; remove it, or read its file as UTF-8.",
        ) from None
    return text
