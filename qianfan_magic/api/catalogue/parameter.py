"""One request parameter: its range, and what may be said for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from numbers import Integral, Real
from typing import Any

from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.errors import ParameterError

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_WORDS |= {object: "what JSON can carry"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How one version of the API knows a parameter.

    Attributes
    ----------
    kinds
        The services that know it.
    wire
        Its name there, where it differs.
    bounds
        The least and the greatest number there, where they differ; None for no bound.
    """

    kinds: tuple[Kind, ...] = BOTH
    wire: str = ""
    bounds: tuple[float | None, float | None] | None = None


_EVERYWHERE: Mapping[ApiVersion, Support] = {ApiVersion.V1: Support(), ApiVersion.V2: Support()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One row of the table.

    Attributes
    ----------
    name
        In Python and in ``%config QianfanMagics.<name>``.
    type
        ``float``, ``int``, ``bool``, ``str``, ``list`` (of texts), or ``object``: any JSON.
    help
        One sentence for a reader who has not met it.
    flags
        Of both cell magics; none where it has no flag.
    where
        The versions of the API that know it, and how.
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
    support: Mapping[ApiVersion, Support] = field(default_factory=lambda: _EVERYWHERE)
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    most_items: int = 0
    longest: int = 0
    choices: tuple[str, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of services that know it, in any version."""
        return tuple(kind for kind in BOTH if any(kind in w.kinds for w in self.support.values()))

    def within(self, version: ApiVersion) -> Parameter:
        """Return the row with the bounds that one version of the API, which knows it, has."""
        bounds = self.support[version].bounds
        return replace(self, minimum=bounds[0], maximum=bounds[1]) if bounds else self

    @property
    def range(self) -> str:
        """What is allowed, as a reader would write it: ``a number in (0, 1.0]``."""
        if self.choices:
            return " or ".join(self.choices)
        if self.type is list:
            return f"at most {self.most_items} texts of 1 to {self.longest} characters"
        if self.maximum is not None:
            opening = "(" if self.above else "["
            return f"{_WORDS[self.type]} in {opening}{self.minimum:.12g}, {self.maximum:.12g}]"
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

    def parse(self, text: str | list[str] | bool) -> Any:
        r"""Return the checked value of what was typed behind a flag, or raise as `check` does.

        In a list's texts, ``\n`` and ``\t`` stand for a line's end and a tab.
        """
        if isinstance(text, bool):
            return self.check(text)
        if isinstance(text, list):
            return self.check([t.replace(r"\n", "\n").replace(r"\t", "\t") for t in text])
        if self.type in {float, int}:
            try:
                return self.check(self.type(text))
            except ValueError:
                raise self._refusal(text) from None
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


def plain_json(value: Any) -> Any:
    """Return a value as JSON carries it; None if it cannot."""
    try:
        written = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return json.loads(written) if _is_text(written) else None
    except (ValueError, TypeError, RecursionError):
        return None


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
    object: plain_json,
    bool: lambda value: value if isinstance(value, bool) else None,
    str: lambda value: value if _is_text(value) else None,
}
