"""The catalogue, as a table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.views.rendering.table import table_bundle

HEADS = ("model", "kind", "API", "asked by", "characters", "tokens", "can")
NUMBERS = ("characters", "tokens")


def models_bundle(
    cards: Iterable[Card], listed: Collection[str] | None, notes: Sequence[str]
) -> dict[str, str]:
    """Make the plain output of the catalogue.

    Parameters
    ----------
    cards
        All that count.
    listed
        The models that version 2 lists; None if it was not asked.
    notes
        Lines under it.
    """
    known = {card.model or card.name for card in cards if card.version == ApiVersion.V2}
    heads = HEADS if listed is None else (*HEADS, "listed")
    rows = [_row(card, listed) for card in cards]
    more = set(listed or ()) - known
    rows += [[name, "", "2", "-m", "", "", "", "yes"] for name in more]
    rows.sort(key=lambda row: (-int(row[2]), row[0].lower()))
    return table_bundle(heads, rows, numbers=NUMBERS, notes=notes)


def _row(card: Card, listed: Collection[str] | None) -> list[str]:
    published = card.version == ApiVersion.V1 and not card.endpoint
    row = [
        card.name,
        ", ".join(card.kinds),
        str(card.version),
        "-m, -e" if published else "-m",
        _count(card.max_characters),
        _count(card.max_tokens),
        ", ".join(_abilities(card)),
    ]
    if listed is not None:
        asked = card.model or card.name
        row.append("" if card.version == ApiVersion.V1 else "yes" if asked in listed else "no")
    return row


def _count(limit: int | None) -> str:
    return "" if limit is None else f"{limit:,}"


def _abilities(card: Card) -> list[str]:
    thinks = "always thinks" if card.thinks == "always" else "think"
    return [thinks] * bool(card.thinks) + ["see"] * card.sees + ["JSON"] * card.json
