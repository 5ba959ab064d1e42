"""A user's own model cards and short names: ``%config QianfanMagics.models``, ``qianfan.toml``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qianfan_magic.api.catalogue.cards import CHAT, Card
from qianfan_magic.api.catalogue.resolver import MODEL_NAME, Catalogue, check_endpoint
from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.errors import ParameterError, SettingsError

#: Beside the notebook; its table ``[qianfan.models]`` counts.
FILE = "qianfan.toml"
#: What may be said of a model besides who it is.
THINKS = ("", "enable_thinking", "thinking", "always")
FIELDS = ("endpoint", "model", "kind", "max_characters", "max_tokens", "sees", "thinks", "json")


def read_cards(written: Any, where: str) -> list[Card]:
    """Read cards.

    Parameters
    ----------
    written
        By short name: a model's name, or a table of `FIELDS`. With ``endpoint`` it is a service
        of version 1 of the API; else ``model`` is a name that the catalogue or version 2 knows,
        whose card counts where the table says nothing.
    where
        For errors: what holds them.

    Raises
    ------
    ParameterError
        Names the card and what is wrong with it.
    """
    if not isinstance(written, Mapping):
        raise ParameterError(f"{where} is no table of models", hint=_SUCH_AS)
    known = Catalogue()
    return [_card(name, one, known, where) for name, one in written.items()]


_SUCH_AS = (
    'Such as {"tutor": "ernie-5.1", "ours": {"endpoint": "ngxxxol8_test1", "kind": "chat", '
    '"max_characters": 4800}}.'
)


def read_file(folder: Path) -> list[Card]:
    """Read the cards of the TOML file in a folder; none if there is no such file.

    Raises
    ------
    SettingsError
        If it cannot be read, or a card in it is wrong.
    """
    path = folder / FILE
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise SettingsError(f"{FILE} cannot be read: {reason}", hint="Mend or move it.") from None
    import tomllib

    try:
        return read_cards(_models(tomllib.loads(text)), f"[qianfan.models] in {FILE}")
    except ParameterError as error:
        raise SettingsError(error.message, hint=error.hint) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{FILE} is no TOML: {error}", hint="Mend that line.") from None
    except RecursionError:
        raise SettingsError(f"{FILE} is no TOML: nested too deeply", hint="Mend it.") from None
    except ValueError:  # a number of thousands of digits
        raise SettingsError(f"{FILE} holds a number that is too long", hint="Mend it.") from None


def _models(read: Mapping[str, Any]) -> Any:
    """Return the one table that there can be; a misspelt one is not passed over."""
    table = read.get("qianfan", {})
    others = [f"[{name}]" for name in read if name != "qianfan"]
    if isinstance(table, Mapping):
        others += [f"[qianfan.{name}]" for name in table if name != "models"]
    if others:
        raise ParameterError(
            f"{FILE} has {others[0]}, which nothing reads",
            hint="Models stand in the table [qianfan.models].",
        )
    return table.get("models", {}) if isinstance(table, Mapping) else table


def _card(name: Any, written: Any, known: Catalogue, where: str) -> Card:
    said = f"{where}: the model {name!r}"
    if not isinstance(name, str) or not name.strip():
        raise ParameterError(f"{said} has no name", hint=_SUCH_AS)
    fields = {"model": written} if isinstance(written, str) else written
    if not isinstance(fields, Mapping) or not fields:
        raise ParameterError(f"{said} is neither a name nor a table", hint=_SUCH_AS)
    for field in fields:
        if field not in FIELDS:
            near = difflib.get_close_matches(str(field), FIELDS, 1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(FIELDS)}."
            raise ParameterError(f"{said} has the unknown field {field!r}", hint=hint)
    try:
        return replace(_base(name, fields, known), **_rest(fields))
    except _Wrong as wrong:
        raise ParameterError(f"{said}: {wrong}", hint=_SUCH_AS) from None


class _Wrong(Exception):  # noqa: N818  becomes a ParameterError that names the card
    """What is wrong with a field."""


def _base(name: str, fields: Mapping[str, Any], known: Catalogue) -> Card:
    """Make a card of who is asked; one that the catalogue knows brings its own along."""
    endpoint, model = fields.get("endpoint"), fields.get("model", name)
    if not isinstance(model, str) or not (MODEL_NAME.fullmatch(model) or known.named(model)):
        raise _Wrong(f"{model!r:.40} is no model's name")
    cards = known.named(model)
    if endpoint is not None:
        try:
            check_endpoint(endpoint)
        except ParameterError as error:
            raise _Wrong(error.message) from None
        card = next((card for card in cards if card.version == ApiVersion.V1), None)
        card = card or Card(name=name, kinds=CHAT)
        return replace(card, name=name, endpoint=endpoint, source="yours")
    if not cards:
        return Card(
            name=name, kinds=CHAT, version=ApiVersion.V2, model=model, json=True, source="yours"
        )
    card = cards[-1]
    if len(cards) > 1:  # both versions have it: the keys decide, and the stricter limits count
        old = cards[0]
        card = replace(card, endpoint=old.endpoint, max_characters=old.max_characters)
    return replace(card, name=name, model=card.model or card.name, source="yours")


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


#: What a field may hold, and how that is said.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": (lambda value: bool(_kinds(value)), "chat, completion, or a list of both"),
    "max_characters": (_is_count, "a whole number from 1"),
    "max_tokens": (_is_count, "a whole number from 1"),
    "sees": (lambda value: isinstance(value, bool), "true or false"),
    "json": (lambda value: isinstance(value, bool), "true or false"),
    "thinks": (lambda value: value in THINKS, f"one of {', '.join(map(repr, THINKS))}"),
}


def _kinds(value: Any) -> tuple[Kind, ...]:
    """Return the kinds that are named; none if anything else is."""
    named = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(kind for kind in BOTH if kind in named) if all(k in BOTH for k in named) else ()


def _rest(fields: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: fields[name] for name in _CHECKS if name in fields}
    for name, value in rest.items():
        allows, words = _CHECKS[name]
        if not allows(value):
            raise _Wrong(f"{name} is {value!r:.40}, but must be {words}")
    if "kind" in rest:
        rest["kinds"] = _kinds(rest.pop("kind"))
    return rest
