"""Which service a request goes to: by which version of the API, and with which limits."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass

from qianfan_magic.api.catalogue.cards import Card, embedded_cards, key_of, package_cards
from qianfan_magic.api.catalogue.parameter import Parameter
from qianfan_magic.api.catalogue.parameters import is_supported
from qianfan_magic.api.config.credentials import needed_variables
from qianfan_magic.api.types import ApiVersion, Kind
from qianfan_magic.errors import ParameterError, SettingsError
from qianfan_magic.language import tr
from qianfan_magic.suggest import did_you_mean

__all__ = [
    "MODEL_NAME",
    "Catalogue",
    "Service",
    "check_endpoint",
    "check_length",
    "suggested_model",
]

#: A model name as version 2 lists them.
MODEL_NAME = re.compile(r"\w[-\w.:/]*")
#: An endpoint as the console allows it: letters of any script, digits, ``_``, ``-`` and ``.``.
_ENDPOINT = re.compile(r"\w(?:[-\w]|\.(?!\.))*")


#: By parameter: the field of `Card` that says whether the model takes it.
_ABILITIES = {
    "enable_thinking": "thinks",
    "thinking_budget": "thinks",
    "reasoning_effort": "effort",
    "web_search": "search",
    "search_mode": "search",
    "search_number": "search",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A service that answers requests.

    Attributes
    ----------
    name
        The endpoint (version 1) or the model (version 2).
    version
        The version of the API that serves it.
    card
        The card of its model; None if nothing is known about the model.
    """

    name: str
    _: KW_ONLY
    version: ApiVersion = ApiVersion.V1
    card: Card | None = None

    @property
    def label(self) -> str:
        """What the line below an answer calls the service."""
        return (self.card.label if self.card else "") or self.name

    @property
    def can_json(self) -> bool:
        """Whether a request may ask for JSON; version 2 documents that for every chat model."""
        return self.card.json if self.card else self.version == ApiVersion.V2

    @property
    def can_schema(self) -> bool:
        """Whether a request may carry a JSON schema.

        True for a model of version 2 without a card: servers of open models know the field.
        """
        return self.card.schema if self.card else self.version == ApiVersion.V2

    @property
    def can_call(self) -> bool:
        """Whether the model can ask for calls of functions, see `Card.tools`."""
        told = self.card.tools if self.card else None
        return self.version == ApiVersion.V2 if told is None else told

    def takes(self, parameter: Parameter, kind: Kind) -> bool:
        """Tell whether requests may carry a parameter, by version and by the model's abilities.

        Examples
        --------
        >>> from qianfan_magic.api.catalogue.parameters import BY_NAME
        >>> service = Catalogue().resolve(None, "ernie-5.1", "chat", [ApiVersion.V2])
        >>> [name for name in ("seed", "top_k") if service.takes(BY_NAME[name], "chat")]
        ['seed']
        """
        if not is_supported(parameter, kind, self.version):
            return False
        ability = _ABILITIES.get(parameter.name)
        return self.card is None or ability is None or bool(getattr(self.card, ability))


class Catalogue:
    """The model cards in effect: the package's own, and others that take precedence over them.

    Parameters
    ----------
    others
        Each replaces all cards of the same name; a later one replaces an earlier one.

    Examples
    --------
    >>> Catalogue().resolve(None, "ernie-5.1", "chat", [ApiVersion.V2]).version
    <ApiVersion.V2: 2>
    """

    def __init__(self, others: Iterable[Card] = ()) -> None:
        own = {card.key: card for card in others}
        self.cards = (*(c for c in package_cards() if c.key not in own), *own.values())
        self._known = (*self.cards, *(c for c in embedded_cards() if c.key not in own))
        self._by_key: dict[str, list[Card]] = {}
        for card in self._known:
            for key in {card.key, key_of(card.endpoint)} - {""}:
                self._by_key.setdefault(key, []).append(card)

    def named(self, model: str) -> list[Card]:
        """List the cards with a name or preset endpoint, at most one for each API version."""
        found = self._by_key.get(key_of(model), []) if isinstance(model, str) else []
        return sorted(found, key=lambda card: card.version)

    def of_endpoint(self, endpoint: str, kind: Kind) -> Card | None:
        """Return the card of the model behind an endpoint, if the endpoint's name reveals it.

        A preset endpoint names its model. When the owner chooses a name, the console puts a
        prefix of its own before it (``ngxxxol8_test1``), so an endpoint that ends with a model's
        name (``ngxxxol8_dolly_12b``) is taken for that model.
        """
        cards = [c for c in self._known if c.version == ApiVersion.V1 and kind in c.kinds]
        for card in cards:
            if card.endpoint == endpoint:
                return card
        key = key_of(endpoint)
        for card in cards:
            if not card.endpoint and (key == card.key or key.endswith("_" + card.key)):
                return card
        return None

    def resolve(
        self,
        endpoint: str | None,
        model: str | None,
        kind: Kind,
        versions: Collection[ApiVersion],
        *,
        defaults: Sequence[tuple[str | None, str | None]] = (),
    ) -> Service:
        """Decide which service a request goes to.

        Parameters
        ----------
        endpoint
            The endpoint that the caller names (``-e``), or None.
        model
            The model that the caller names (``-m``), or None. With an endpoint it only selects
            the card, and with it the limits.
        kind
            The kind of request.
        versions
            The API versions for which there are credentials.
        defaults
            Pairs of endpoint and model to use if the caller names neither; the first pair that
            names a service of this kind is used.

        Returns
        -------
        Service

        Raises
        ------
        ParameterError
            If nothing is named, if the model has no preset endpoint or is of the other kind, or
            if no API version is known to serve it.
        SettingsError
            If both API versions serve the model and there are no credentials to decide.
        """
        for pair in defaults:
            if endpoint is not None or model is not None:
                break
            endpoint, model = self._default(*pair, kind, versions)
        if endpoint is not None:
            return self._published(check_endpoint(endpoint), model, kind)
        if model is None:
            raise _nothing_named(kind)
        known = self.named(model)
        cards = [card for card in known if kind in card.kinds]
        if known and not cards:
            raise _other_kind(known[0])
        if not cards:
            return self._without_card(model, versions)
        if len(cards) > 1 and not versions:
            raise _undecided(cards[-1])
        return _preset(cards, versions)

    def _default(
        self, endpoint: str | None, model: str | None, kind: Kind, versions: Collection[ApiVersion]
    ) -> tuple[str | None, str | None]:
        """Choose between the endpoint and the model that are set as defaults.

        The same model is the default for cells of both kinds, so it is ignored for the other
        kind. An endpoint takes precedence over a version 1 model, which then names its card; it
        takes precedence over a version 2 model only without credentials for version 2.
        """
        known = self.named(model) if model else []
        if model is None or (known and not any(kind in card.kinds for card in known)):
            return endpoint, None
        if endpoint is None:
            return None, model
        is_v1_model = bool(known) and known[0].version == ApiVersion.V1
        if ApiVersion.V2 in versions and not is_v1_model:
            return None, model
        # A model without a card is returned too, so that the request fails with its name.
        return endpoint, model if is_v1_model or not known else None

    def _published(self, endpoint: str, model: str | None, kind: Kind) -> Service:
        """Return the service behind an endpoint, which only version 1 has."""
        if model is None:
            return Service(endpoint, card=self.of_endpoint(endpoint, kind))
        known = self.named(model)
        if not known:
            raise _no_such_model(model, self.cards)
        if known[0].version != ApiVersion.V1:
            raise ParameterError(
                tr(
                    "-e {endpoint} is a service of version 1 of the API, and {name} a model "
                    "of version 2",
                    endpoint=endpoint,
                    name=known[0].name,
                ),
                hint=tr("Leave one of them out: -m alone uses version 2."),
            )
        if kind not in known[0].kinds:
            raise _other_kind(known[0])
        return Service(endpoint, card=known[0])

    def _without_card(self, model: str, versions: Collection[ApiVersion]) -> Service:
        """Return the service of a model without a card, which only version 2 can have."""
        if ApiVersion.V2 not in versions:
            raise _no_such_model(model, self.cards)
        if not isinstance(model, str) or not MODEL_NAME.fullmatch(model):
            raise ParameterError(
                tr("The model {model!r} is not one name", model=model),
                hint=tr("Such as ernie-5.1; %qianfan models lists them."),
            )
        return Service(model, version=ApiVersion.V2)


def _preset(cards: Sequence[Card], versions: Collection[ApiVersion]) -> Service:
    """Choose among the cards of one model, the newest version with credentials first."""
    card = next((card for card in reversed(cards) if card.version in versions), cards[-1])
    if card.version == ApiVersion.V1 and not card.endpoint:
        raise ParameterError(
            tr("{name} has no preset address: whoever publishes it chooses one", name=card.name),
            hint=tr("Name the address too: -m {name} -e NAME.", name=card.name),
        )
    only_v1 = bool(versions) and ApiVersion.V2 not in versions
    if card.version == ApiVersion.V1 or (card.endpoint and only_v1):
        return Service(card.endpoint, card=card)
    return Service(card.model or card.name, version=ApiVersion.V2, card=card)


def _undecided(card: Card) -> SettingsError:
    return SettingsError(
        tr("There are no credentials, and both versions of the API have {name}", name=card.name),
        hint=tr(
            "Put into .env, for version 1: {first}; "
            "for version 2: {second}; "
            "or try %qianfan demo, which needs no key.",
            first=needed_variables(ApiVersion.V1),
            second=needed_variables(ApiVersion.V2),
        ),
    )


def _other_kind(card: Card) -> ParameterError:
    magic = "%%qianfan_chat" if "chat" in card.kinds else "%%qianfan_complete"
    return ParameterError(
        tr("{name} is a {kind} model", name=card.name, kind=card.kinds[0]),
        hint=tr("Use it with {magic}.", magic=magic),
    )


def suggested_model(model: object, cards: Iterable[Card]) -> str:
    """Ask whether a model of a similar name was meant; models that have ended are left out."""
    names = (card.name for card in cards if card.ends is None)
    question = did_you_mean(str(model), names)
    return f"{question} " if question else ""


def _no_such_model(model: object, cards: Iterable[Card]) -> ParameterError:
    return ParameterError(
        tr(
            "The catalogue has no model {model!r}, so it is unknown which version of the "
            "API serves "
            "it",
            model=model,
        ),
        hint=tr(
            "{suggestion}Version 1: name its endpoint, -e NAME. Version 2: it "
            "needs {variables}. %qianfan models lists the catalogue.",
            suggestion=suggested_model(model, cards),
            variables=needed_variables(ApiVersion.V2),
        ),
    )


def check_endpoint(endpoint: str) -> str:
    """Return an endpoint after checking that it is one path segment.

    Raises
    ------
    ParameterError
        If it contains ``/``, ``?``, ``#``, ``..``, spaces or the like, which would change the URL
        that is requested.
    """
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        raise ParameterError(
            tr("The endpoint {endpoint!r} is not one name", endpoint=endpoint),
            hint=tr(
                "It is the last part of the service's address, such as ngxxxol8_test1: "
                "letters, digits, '_', '-' and single dots."
            ),
        )
    return endpoint


def _nothing_named(kind: Kind) -> ParameterError:
    variable = "QIANFAN_CHAT_ENDPOINT" if kind == "chat" else "QIANFAN_COMPLETE_ENDPOINT"
    return ParameterError(
        tr("No service is named: there is neither an endpoint nor a model"),
        hint=tr(
            "Add -m MODEL (version 2: -m ernie-5.1) or -e NAME (version 1), set QIANFAN_MODEL "
            "or {variable} in .env, or try %qianfan demo, which needs no key.",
            variable=variable,
        ),
    )


def check_length(characters: int, card: Card | None) -> None:
    """Check the length of a request's texts against the limit of the model's card.

    Raises
    ------
    ParameterError
        If there are more characters than the card allows; the message has both numbers.
    """
    if card and card.max_characters and characters > card.max_characters:
        raise ParameterError(
            tr(
                "The text has {characters:,} characters, and {name} takes "
                "at most {max_characters:,}",
                characters=characters,
                name=card.name,
                max_characters=card.max_characters,
            ),
            hint=tr("Shorten it, or choose a model that takes more."),
        )
