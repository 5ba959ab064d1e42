"""Model cards: what is known of a model before it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.errors import ParameterError
from qianfan_magic.parameter import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One model.

    Attributes
    ----------
    name
        As Qianfan writes it; ``-m`` takes it in any case, with ``-`` or ``_``.
    kind
        ``"chat"`` or ``"completion"``.
    endpoint
        The preset address, empty where the owner publishes the model and chooses one.
    max_characters
        Of all messages (or the prompt) together; None where no document states it.
    max_tokens
        Likewise, by the service's own count.
    """

    name: str
    kind: Kind
    endpoint: str = ""
    max_characters: int | None = None
    max_tokens: int | None = None

    @property
    def key(self) -> str:
        """The name as a word: ``dolly_12b``."""
        return _key(self.name)


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _small_chats(*names: tuple[str, str]) -> tuple[Card, ...]:
    return tuple(
        Card(name=name, kind="chat", endpoint=endpoint, max_characters=4_800)
        for name, endpoint in names
    )


#: Limits: the API documents of the models, version 1.
CARDS: tuple[Card, ...] = (
    Card(name="Dolly-12B", kind="chat", max_characters=4_800),
    Card(name="StarCoder", kind="completion"),
    Card(name="AquilaCode-multi", kind="completion"),
    Card(name="StableLM-Alpha-7B", kind="completion", max_tokens=4_096),
    Card(
        name="ERNIE-4.0-8K",
        kind="chat",
        endpoint="completions_pro",
        max_characters=20_000,
        max_tokens=5_120,
    ),
    Card(
        name="ERNIE-3.5-8K",
        kind="chat",
        endpoint="completions",
        max_characters=20_000,
        max_tokens=5_120,
    ),
    Card(
        name="ERNIE-Speed",
        kind="chat",
        endpoint="ernie_speed",
        max_characters=11_200,
        max_tokens=7_168,
    ),
    Card(
        name="ERNIE-Lite-8K",
        kind="chat",
        endpoint="ernie-lite-8k",
        max_characters=11_200,
        max_tokens=7_168,
    ),
    Card(
        name="ERNIE-Speed-128K",
        kind="chat",
        endpoint="ernie-speed-128k",
        max_characters=507_904,
        max_tokens=126_976,
    ),
    Card(
        name="ERNIE-Tiny-8K",
        kind="chat",
        endpoint="ernie-tiny-8k",
        max_characters=24_000,
        max_tokens=6_144,
    ),
    *_small_chats(
        ("Llama-2-7B", "llama_2_7b"),
        ("Llama-2-13B", "llama_2_13b"),
        ("Llama-2-70B", "llama_2_70b"),
        ("Llama-3-8B", "llama_3_8b"),
        ("Llama-3-70B", "llama_3_70b"),
        ("ChatGLM2-6B-32K", "chatglm2_6b_32k"),
        ("AquilaChat-7B", "aquilachat_7b"),
        ("Mixtral-8x7B", "mixtral_8x7b_instruct"),
        ("BLOOMZ-7B", "bloomz_7b1"),
    ),
    Card(name="SQLCoder-7B", kind="completion", endpoint="sqlcoder_7b"),
    Card(name="CodeLlama-7b", kind="completion", endpoint="codellama_7b_instruct"),
)
_BY_KEY = {card.key: card for card in CARDS} | {
    _key(card.endpoint): card for card in CARDS if card.endpoint
}
_PUBLISHED = tuple(card for card in CARDS if not card.endpoint)


def card_of_model(model: str) -> Card:
    """Find the card of a model by its name or preset address.

    Raises
    ------
    ParameterError
        If the catalogue has none of that name.
    """
    card = _BY_KEY.get(_key(model)) if isinstance(model, str) else None
    if card is None:
        raise ParameterError(
            f"The catalogue has no model {model!r}",
            hint="A model you published goes by its endpoint: -e NAME. The catalogue has: "
            + ", ".join(card.name for card in CARDS),
        )
    return card


def model_for(kind: Kind, model: str | None) -> str | None:
    """Return a default model if it is of this kind: one name is set for cells of both."""
    return model if model and card_of_model(model).kind == kind else None


def card_of_endpoint(endpoint: str, kind: Kind) -> Card | None:
    """Find the card behind an endpoint, if its name tells.

    A preset address names its model. Of an address that the owner chose, the console keeps the
    owner's word behind a prefix of its own (``ngxxxol8_test1``): so one that ends with a model's
    name (``ngxxxol8_dolly_12b``) is taken for that model.
    """
    for card in CARDS:
        if card.endpoint == endpoint and card.kind == kind:
            return card
    key = _key(endpoint)
    for card in _PUBLISHED:
        if card.kind == kind and (key == card.key or key.endswith("_" + card.key)):
            return card
    return None


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


def find_service(endpoint: str | None, model: str | None, kind: Kind) -> tuple[str, Card | None]:
    """Decide which address is called, and by whose limits.

    Parameters
    ----------
    endpoint
        What ``-e`` names, or None.
    model
        What ``-m`` names, or None; with an endpoint it only names the card.
    kind
        The kind of service that is asked for.

    Returns
    -------
    endpoint : str
    card : Card or None
        None where nothing is known of the model.

    Raises
    ------
    ParameterError
        If neither is given, the model has no preset address, or is of the other kind.
    """
    if endpoint is not None:
        check_endpoint(endpoint)
    if model is None:
        if endpoint is None:
            raise _nothing_named(kind)
        return endpoint, card_of_endpoint(endpoint, kind)
    card = card_of_model(model)
    if card.kind != kind:
        magic = "%%qianfan_chat" if card.kind == "chat" else "%%qianfan_complete"
        raise ParameterError(f"{card.name} is a {card.kind} model", hint=f"Ask it with {magic}.")
    if not (endpoint or card.endpoint):
        raise ParameterError(
            f"{card.name} has no preset address: whoever publishes it chooses one",
            hint=f"Name the address too: -m {card.name} -e NAME.",
        )
    return endpoint or card.endpoint, card


def _nothing_named(kind: Kind) -> ParameterError:
    variable = "QIANFAN_CHAT_ENDPOINT" if kind == "chat" else "QIANFAN_COMPLETE_ENDPOINT"
    return ParameterError(
        "No service is named: there is neither an endpoint nor a model",
        hint=f"Add -e NAME, set {variable} in .env, or try %qianfan demo, which needs no key.",
    )


_CHINESE = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")


def estimate_tokens(text: str) -> int:
    """Estimate tokens as StarCoder's document does: Chinese characters + words * 1.3."""
    words = len(_CHINESE.sub(" ", text).split())
    return len(_CHINESE.findall(text)) + round(words * 1.3)


def is_chinese(text: str) -> bool:
    """Tell whether there are Chinese characters in a text."""
    return _CHINESE.search(text) is not None


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
