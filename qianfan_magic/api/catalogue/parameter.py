"""Description of a request parameter, and the checks of its values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.errors import ParameterError
from qianfan_magic.language import mark, tr

__all__ = ["Parameter", "Support", "plain_json", "with_escapes"]

#: Names of the types in messages.
_WORDS = {
    bool: mark("true or false"),
    int: mark("a whole number"),
    float: mark("a number"),
    str: mark("text"),
}
_WORDS |= {object: mark("what JSON can carry")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """Support of a parameter by one version of the API.

    Attributes
    ----------
    kinds
        Kinds of services that accept the parameter.
    wire
        Name of the parameter in request bodies, if it differs.
    bounds
        Minimum and maximum, if they differ from those of the row; None for no limit.
    """

    kinds: tuple[Kind, ...] = BOTH
    wire: str = ""
    bounds: tuple[float | None, float | None] | None = None


_EVERYWHERE: Mapping[ApiVersion, Support] = {ApiVersion.V1: Support(), ApiVersion.V2: Support()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One row of the table of request parameters.

    Attributes
    ----------
    name
        Name in Python and in ``%config QianfanMagics.<name>``.
    type
        ``float``, ``int``, ``bool``, ``str``, ``list`` (of texts), or ``object`` (any JSON).
    help
        Explanation in one phrase, for ``--help`` and for errors.
    flags
        Flags of the cell magics; empty if there are none.
    support
        The versions of the API that accept the parameter. Default: both, for both kinds.
    minimum, maximum
        Inclusive bounds of a number; None for no limit.
    above
        Whether the minimum itself is excluded.
    most_items, longest
        Limits of a list: the number of texts, and the number of characters of each.
    choices
        The allowed values, if they are few.

    Examples
    --------
    >>> row = Parameter(name="top_p", type=float, minimum=0, maximum=1, help="more varied text")
    >>> row.range
    'a number in [0, 1]'
    >>> row.check(1)
    1.0
    """

    name: str
    type: type
    help: str
    flags: tuple[str, ...] = ()
    support: Mapping[ApiVersion, Support] = field(default_factory=lambda: _EVERYWHERE)
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    most_items: int = 0
    longest: int = 0
    choices: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of services that accept the parameter in some version of the API."""
        return tuple(kind for kind in BOTH if any(kind in w.kinds for w in self.support.values()))

    def within(self, version: ApiVersion) -> Parameter:
        """Return the row with the bounds of one version of the API.

        Raises
        ------
        KeyError
            If that version does not support the parameter.
        """
        bounds = self.support[version].bounds
        return replace(self, minimum=bounds[0], maximum=bounds[1]) if bounds else self

    @property
    def range(self) -> str:
        """The allowed values in words, such as ``a number in (0, 1]``."""
        if self.choices:
            return tr(" or ").join(self.choices)
        if self.type is list:
            return tr(
                "at most {most_items} texts of 1 to {longest} characters",
                most_items=self.most_items,
                longest=self.longest,
            )
        kind = tr(_WORDS[self.type])
        if self.maximum is not None:
            opening = "(" if self.above else "["
            interval = f"{opening}{self.minimum:.12g}, {self.maximum:.12g}]"
            return tr("{kind} in {interval}", kind=kind, interval=interval)
        if self.minimum is not None:
            return tr("{kind} from {minimum:g}", kind=kind, minimum=self.minimum)
        return kind

    def check(self, value: Any) -> Any:
        """Check a value and convert it to plain JSON.

        Parameters
        ----------
        value
            The value in a program; numbers of numpy are accepted.

        Returns
        -------
        object
            The same value in types that JSON has.

        Raises
        ------
        ParameterError
            If the type is wrong or the value is out of range; the message names both.
        """
        plain = _CONVERTERS[self.type](value)
        if plain is None or not self._allows(plain):
            raise self._range_error(value)
        return plain

    def parse(self, text: str | list[str] | bool) -> Any:
        r"""Convert and check the argument of a flag; raise as `check` does.

        Parameters
        ----------
        text
            The argument; a list for a flag that was repeated, a bool for a flag without an
            argument. In the texts of a list, ``\n`` and ``\t`` stand for a line feed and a tab.
        """
        if isinstance(text, bool):
            return self.check(text)
        if isinstance(text, list):
            return self.check([with_escapes(one) for one in text])
        if self.type in {float, int}:
            try:
                return self.check(self.type(text))
            except ValueError:  # from the conversion, or a ParameterError of the check
                raise self._range_error(text) from None
        if self.type is bool:
            return self.check({"true": True, "false": False}.get(text.lower(), text))
        return self.check(text)

    def _allows(self, value: Any) -> bool:
        if self.type is object:
            return True
        if self.choices:
            return value in self.choices
        if isinstance(value, list):
            return len(value) <= self.most_items and all(1 <= len(s) <= self.longest for s in value)
        if isinstance(value, str):
            return bool(value)
        is_low = self.minimum is not None and value < self.minimum
        is_excluded = self.above and value == self.minimum
        is_high = self.maximum is not None and value > self.maximum
        return not (is_low or is_excluded or is_high)

    def _range_error(self, value: Any) -> ParameterError:
        flag = f" ({self.flags[-1]})" if self.flags else ""
        return ParameterError(
            tr(
                "{name} is {excerpt}, but must be {range}",
                name=self.name,
                excerpt=_excerpt(value),
                range=self.range,
            ),
            hint=f"{self.name}{flag}: {tr(self.help)}",
        )


def with_escapes(text: str) -> str:
    r"""Return a flag's text with a line feed for ``\n`` and a tab for ``\t``."""
    return text.replace(r"\n", "\n").replace(r"\t", "\t")


def _excerpt(value: Any) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python refuses to convert an int of more than 4,300 digits to text
        return tr("a number of thousands of digits")


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
    return plain if plain.bit_length() < 64 else None  # noqa: PLR2004  larger ones break JSON parsers


def _plain_list(value: Any) -> list[str] | None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return None
    return list(value) if all(map(_is_text, value)) else None


def plain_json(value: Any) -> Any:
    """Copy a value by encoding and decoding it as JSON; None if JSON cannot represent it."""
    try:
        encoded = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return json.loads(encoded) if _is_text(encoded) else None
    except (ValueError, TypeError, RecursionError):
        return None


def _is_text(value: Any) -> bool:
    """Tell whether a value is text that UTF-8 can encode, without lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


#: Functions that convert a value of a type to plain JSON; None if it is of another type.
_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    float: _plain_float,
    int: _plain_int,
    list: _plain_list,
    object: plain_json,
    bool: lambda value: value if isinstance(value, bool) else None,
    str: lambda value: value if _is_text(value) else None,
}
