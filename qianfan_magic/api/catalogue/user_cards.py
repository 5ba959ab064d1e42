"""The user's own model cards, of ``%config QianfanMagics.models`` and ``qianfan.toml``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qianfan_magic.api.catalogue.cards import CHAT, Card, key_of
from qianfan_magic.api.catalogue.parameters import BY_NAME
from qianfan_magic.api.catalogue.resolver import MODEL_NAME, Catalogue, check_endpoint
from qianfan_magic.api.config.qianfan_toml import FILE, read_table
from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.errors import ParameterError, SettingsError
from qianfan_magic.language import mark, tr
from qianfan_magic.suggest import did_you_mean

__all__ = ["FIELDS", "read_cards", "read_file"]

#: Values of the field ``thinks``, see `Card`.
THINKS = ("", "enable_thinking", "thinking", "always")
#: Fields of a model's table.
FIELDS = (
    *("endpoint", "model", "kind", "max_characters", "max_tokens"),
    *("sees", "thinks", "json", "schema", "search", "prefix", "effort", "tools", "defaults"),
)


def read_cards(models: Any, source: str) -> list[Card]:
    """Build cards from a table of models.

    Parameters
    ----------
    models
        By short name: the name of a model, or a table of `FIELDS`. With ``endpoint`` it is a
        service of version 1 of the API. Otherwise ``model``, by default the short name itself,
        is a model of the catalogue or of version 2. Fields that the table omits are those of the
        catalogue's card.
    source
        Name of the table, for error messages.

    Raises
    ------
    ParameterError
        If a card is wrong; the message names the card and the field.

    Examples
    --------
    >>> cards = read_cards({"tutor": "ernie-5.1", "ours": {"endpoint": "abc_test"}}, "models")
    >>> [(card.name, int(card.version)) for card in cards]
    [('tutor', 2), ('ours', 1)]
    """
    if not isinstance(models, Mapping):
        raise ParameterError(
            tr("{source} is not a table of models", source=source), hint=tr(_EXAMPLE)
        )
    if not models:  # the default of %config: the package's cards are not needed yet
        return []
    catalogue = Catalogue()
    return [_card(name, entry, catalogue, source) for name, entry in models.items()]


#: Hint of every error in a table of models.
_EXAMPLE = mark(
    'Such as {"tutor": "ernie-5.1", "ours": {"endpoint": "ngxxxol8_test1", "kind": "chat", '
    '"max_characters": 4800}}.'
)


def read_file(folder: Path) -> list[Card]:
    """Read the cards of the file ``qianfan.toml`` in a folder.

    Returns
    -------
    list of Card
        Empty if there is no such file.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a card in it is wrong.
    """
    try:
        return read_cards(read_table(folder, "models"), f"[qianfan.models] in {FILE}")
    except ParameterError as error:
        raise SettingsError(error.message, hint=error.hint) from None


def _card(name: Any, entry: Any, catalogue: Catalogue, source: str) -> Card:
    label = tr("{source}: the model {name!r}", source=source, name=name)
    if not isinstance(name, str) or not key_of(name):  # it could never be found
        raise ParameterError(tr("{label} has no name", label=label), hint=tr(_EXAMPLE))
    fields = {"model": entry} if isinstance(entry, str) else entry
    if not isinstance(fields, Mapping) or not fields:
        raise ParameterError(
            tr("{label} is neither a name nor a table", label=label), hint=tr(_EXAMPLE)
        )
    for field in fields:
        if field not in FIELDS:
            hint = did_you_mean(str(field), FIELDS) or tr(
                "There are: {names}.", names=", ".join(FIELDS)
            )
            raise ParameterError(
                tr("{label} has the unknown field {field!r}", label=label, field=field), hint=hint
            )
    try:
        return replace(_base_card(name, fields, catalogue), **_limits(fields))
    except _InvalidField as error:
        raise ParameterError(f"{label}: {error}", hint=tr(_EXAMPLE)) from None


class _InvalidField(Exception):  # noqa: N818  becomes a ParameterError that names the card
    """What is wrong with a field."""


def _base_card(name: str, fields: Mapping[str, Any], catalogue: Catalogue) -> Card:
    """Make a card from the service that is named, and the catalogue's card of its model."""
    model = fields.get("model", name)
    cards = catalogue.named(model)
    if not isinstance(model, str) or not (MODEL_NAME.fullmatch(model) or cards):
        raise _InvalidField(tr("{model!r:.40} is not the name of a model", model=model))
    if fields.get("endpoint") is not None:
        return _endpoint_card(name, fields["endpoint"], cards)
    if not cards:
        v2 = ApiVersion.V2
        card = Card(name=name, kinds=CHAT, version=v2, model=model, source="yours")
        return replace(card, json=True, schema=True)  # as a model without a card
    card = cards[-1]
    if len(cards) > 1:
        # Both versions serve the model. Which one is used depends on the keys, so the card has
        # the endpoint and the limit in characters of version 1 as well.
        v1_card = cards[0]
        card = replace(card, endpoint=v1_card.endpoint, max_characters=v1_card.max_characters)
    return replace(card, name=name, model=card.model or card.name, source="yours")


def _endpoint_card(name: str, endpoint: Any, cards: list[Card]) -> Card:
    try:
        check_endpoint(endpoint)
    except ParameterError as error:
        raise _InvalidField(error.message) from None
    card = next((card for card in cards if card.version == ApiVersion.V1), None)
    card = card or Card(name=name, kinds=CHAT)
    return replace(card, name=name, endpoint=endpoint, source="yours")


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _are_defaults(value: Any) -> bool:
    if not isinstance(value, Mapping) or not value.keys() <= BY_NAME.keys():
        return False
    try:
        return all(BY_NAME[name].check(default) == default for name, default in value.items())
    except ParameterError:
        return False


#: By field: a check of its value, and the allowed values in words.
_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "kind": (lambda value: bool(_kinds(value)), mark("chat, completion, or a list of both")),
    "max_characters": (_is_count, mark("a whole number from 1")),
    "max_tokens": (_is_count, mark("a whole number from 1")),
    **dict.fromkeys(
        ("sees", "json", "schema", "search", "prefix", "effort", "tools"),
        (lambda value: isinstance(value, bool), mark("true or false")),
    ),
    "defaults": (_are_defaults, mark("a table of parameters with valid values")),
    "thinks": (lambda value: value in THINKS, f"one of {', '.join(map(repr, THINKS))}"),
}


def _kinds(value: Any) -> tuple[Kind, ...]:
    """Return the kinds that a value names; empty if it names anything else."""
    names = list(value) if isinstance(value, list | tuple) else [value]
    return tuple(kind for kind in BOTH if kind in names) if all(n in BOTH for n in names) else ()


def _limits(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Check the fields that are not names, and return them as fields of a card."""
    limits = {name: fields[name] for name in _CHECKS if name in fields}
    for name, value in limits.items():
        is_allowed, words = _CHECKS[name]
        if not is_allowed(value):
            raise _InvalidField(
                tr(
                    "{name} is {value!r:.40}, but must be {words}",
                    name=name,
                    value=value,
                    words=tr(words),
                )
            )
    if "kind" in limits:
        limits["kinds"] = _kinds(limits.pop("kind"))
    return limits
