"""Who is asked, by which version of the API, and by whose limits."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import KW_ONLY, dataclass

from qianfan_magic.api.catalogue.cards import CARDS, Card, key_of
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.errors import ParameterError, SettingsError


@dataclass(frozen=True, slots=True)
class Service:
    """Who is asked.

    Attributes
    ----------
    name
        The endpoint (version 1) or the model (version 2).
    version
        Of the API.
    card
        None where nothing is known of the model.
    """

    name: str
    _: KW_ONLY
    version: ApiVersion = ApiVersion.V1
    card: Card | None = None

    @property
    def can_json(self) -> bool:
        """Whether it can be told to answer in JSON, as the document of version 2 has it for all."""
        return self.card.json if self.card else self.version == ApiVersion.V2


class Catalogue:
    """The cards that count: those of this package, and others before them.

    Parameters
    ----------
    others
        Win over all cards of the same name, a later one over an earlier one.
    """

    def __init__(self, others: Iterable[Card] = ()) -> None:
        own = {card.key: card for card in others}
        self.cards = (*(card for card in CARDS if card.key not in own), *own.values())
        self._named: dict[str, list[Card]] = {}
        for card in self.cards:
            for key in {card.key, key_of(card.endpoint)} - {""}:
                self._named.setdefault(key, []).append(card)

    def named(self, model: str) -> list[Card]:
        """List the cards of a name or preset address, at most one of each version."""
        found = self._named.get(key_of(model), []) if isinstance(model, str) else []
        return sorted(found, key=lambda card: card.version)

    def of_endpoint(self, endpoint: str, kind: Kind) -> Card | None:
        """Find the card behind an endpoint, if its name tells.

        A preset address names its model. Of an address that the owner chose, the console keeps
        the owner's word behind a prefix of its own (``ngxxxol8_test1``): so one that ends with a
        model's name (``ngxxxol8_dolly_12b``) is taken for that model.
        """
        ours = [card for card in self.cards if card.version == ApiVersion.V1 and kind in card.kinds]
        for card in ours:
            if card.endpoint == endpoint:
                return card
        key = key_of(endpoint)
        for card in ours:
            if not card.endpoint and (key == card.key or key.endswith("_" + card.key)):
                return card
        return None

    def find(
        self,
        endpoint: str | None,
        model: str | None,
        kind: Kind,
        versions: Collection[ApiVersion],
    ) -> Service:
        """Decide who is asked, by which version of the API, and by whose limits.

        Parameters
        ----------
        endpoint
            What ``-e`` names, or None.
        model
            What ``-m`` names, or None; with an endpoint it only names the card.
        kind
            The kind of service that is asked for.
        open_to
            The versions of the API for which there are credentials.

        Returns
        -------
        Service

        Raises
        ------
        ParameterError
            If neither is given, the model has no preset address or is of the other kind, or it
            cannot be told which version has it.
        """
        if endpoint is not None:
            return self._published(check_endpoint(endpoint), model, kind)
        if model is None:
            raise _nothing_named(kind)
        known = self.named(model)
        cards = [card for card in known if kind in card.kinds]
        if known and not cards:
            raise _other_kind(known[0])
        if not cards:
            return self._unknown(model, versions)
        if len(cards) > 1 and not versions:
            raise _undecided(cards[-1])
        card = next((card for card in reversed(cards) if card.version in versions), cards[-1])
        if card.version == ApiVersion.V1 and not card.endpoint:
            raise ParameterError(
                f"{card.name} has no preset address: whoever publishes it chooses one",
                hint=f"Name the address too: -m {card.name} -e NAME.",
            )
        if card.version == ApiVersion.V1 or (
            card.endpoint and ApiVersion.V2 not in versions and versions
        ):
            return Service(card.endpoint, card=card)
        return Service(card.model or card.name, version=ApiVersion.V2, card=card)

    def default(
        self, endpoint: str | None, model: str | None, kind: Kind, versions: Collection[ApiVersion]
    ) -> tuple[str | None, str | None]:
        """Choose between the endpoint and the model that the settings name for a kind of cell.

        One model is set for cells of both kinds, so one of the other kind does not count. An
        endpoint goes before a model, whose card it then has; before a model of version 2 it goes
        only if there are no credentials for that.
        """
        known = self.named(model) if model else []
        if model is None or (known and not any(kind in card.kinds for card in known)):
            return endpoint, None
        if endpoint is None:
            return None, model
        if ApiVersion.V2 in versions and not (known and known[0].version == ApiVersion.V1):
            return None, model
        # A name that nobody knows is not passed over.
        return endpoint, None if known and known[0].version != ApiVersion.V1 else model

    def _published(self, endpoint: str, model: str | None, kind: Kind) -> Service:
        """Ask an endpoint, which only version 1 has."""
        if model is None:
            return Service(endpoint, card=self.of_endpoint(endpoint, kind))
        known = self.named(model)
        if not known:
            raise _no_such_model(model, self.cards)
        if known[0].version != ApiVersion.V1:
            raise ParameterError(
                f"-e {endpoint} is a service of version 1 of the API, and {known[0].name} a model "
                "of version 2",
                hint="Leave one of them out: -m alone asks version 2.",
            )
        if kind not in known[0].kinds:
            raise _other_kind(known[0])
        return Service(endpoint, card=known[0])

    def _unknown(self, model: str, versions: Collection[ApiVersion]) -> Service:
        """Ask for a model without a card, which only version 2 can have."""
        if ApiVersion.V2 not in versions:
            raise _no_such_model(model, self.cards)
        if not isinstance(model, str) or not MODEL_NAME.fullmatch(model):
            raise ParameterError(
                f"The model {model!r} is not one name",
                hint="Such as ernie-5.1; %qianfan models lists them.",
            )
        return Service(model, version=ApiVersion.V2)


def _undecided(card: Card) -> SettingsError:
    return SettingsError(
        f"There are no credentials, and both versions of the API have {card.name}",
        hint=f"Put into .env, for version 1: QIANFAN_AK and QIANFAN_SK; for version 2: {NEEDED}; "
        "or try %qianfan demo, which needs no key.",
    )


#: What version 2 takes.
NEEDED = "QIANFAN_BEARER_TOKEN, or QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY"


def _other_kind(card: Card) -> ParameterError:
    magic = "%%qianfan_chat" if "chat" in card.kinds else "%%qianfan_complete"
    return ParameterError(f"{card.name} is a {card.kinds[0]} model", hint=f"Ask it with {magic}.")


def did_you_mean(model: object, cards: Iterable[Card]) -> str:
    """Name the model whose name is nearest to one that there is not; empty if none is near."""
    cards = list(cards)
    near = difflib.get_close_matches(str(model).lower(), [card.name.lower() for card in cards], 1)
    meant = (card.name for card in cards if near and card.name.lower() == near[0])
    return next((f"Did you mean {name}? " for name in meant), "")


def _no_such_model(model: object, cards: Iterable[Card]) -> ParameterError:
    meant = did_you_mean(model, cards)
    return ParameterError(
        f"The catalogue has no model {model!r}, so it cannot be told which version of the API has "
        "it",
        hint=f"{meant}Version 1: name its endpoint, -e NAME. Version 2: it needs {NEEDED}. "
        "%qianfan models lists the catalogue.",
    )


#: A model's name, as version 2 lists them.
MODEL_NAME = re.compile(r"\w[-\w.:/]*")
#: A name, as the console allows it: letters (of any script), digits, ``_``, ``-`` and ``.``.
_ENDPOINT = re.compile(r"\w(?:[-\w]|\.(?!\.))*")


def check_endpoint(endpoint: str) -> str:
    """Return an endpoint that is one name and no path.

    Raises
    ------
    ParameterError
        If it holds ``/``, ``?``, ``#``, ``..``, spaces or the like, which would change the
        address that is called.
    """
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        raise ParameterError(
            f"The endpoint {endpoint!r} is not one name",
            hint="It is the last part of the service's address, such as ngxxxol8_test1: "
            "letters, digits, '_', '-' and single dots.",
        )
    return endpoint


def _nothing_named(kind: Kind) -> ParameterError:
    variable = "QIANFAN_CHAT_ENDPOINT" if kind == "chat" else "QIANFAN_COMPLETE_ENDPOINT"
    return ParameterError(
        "No service is named: there is neither an endpoint nor a model",
        hint=f"Add -m MODEL (version 2: -m ernie-5.1) or -e NAME (version 1), set QIANFAN_MODEL "
        f"or {variable} in .env, or try %qianfan demo, which needs no key.",
    )


def check_length(characters: int, card: Card | None) -> None:
    """Refuse a text that is longer than the model's card allows.

    Raises
    ------
    ParameterError
        Says both numbers.
    """
    if card and card.max_characters and characters > card.max_characters:
        raise ParameterError(
            f"The text has {characters:,} characters, and {card.name} takes "
            f"at most {card.max_characters:,}",
            hint="Shorten it, or choose a model that takes more.",
        )
