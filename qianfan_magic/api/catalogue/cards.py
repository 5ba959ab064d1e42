"""Model cards: the limits and abilities of each known model.

To add a model, add a row to `CARDS`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.api.types import BOTH, ApiVersion, Kind

__all__ = ["CARDS", "CHAT", "COMPLETION", "Card", "key_of"]

#: Values of `Card.kinds` for models of one kind.
CHAT: tuple[Kind, ...] = ("chat",)
COMPLETION: tuple[Kind, ...] = ("completion",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """Limits and abilities of one model.

    Attributes
    ----------
    name
        The name as Qianfan writes it; ``-m`` ignores case and takes ``_`` for ``-``.
    kinds
        ``"chat"``, ``"completion"`` or both.
    version
        Version of the API that serves the model.
    endpoint
        Version 1: the preset endpoint, or empty if the owner who publishes the model chooses it.
        Version 2: the model's endpoint in version 1, used if there are only keys for that.
    model
        Version 2: the model's name in requests, if it differs from `name`.
    max_characters
        Largest number of characters of all messages, or of the prompt; None if no document
        states it.
    max_tokens
        Largest number of input tokens, as the service counts them; None likewise.
    sees
        Whether the model accepts pictures.
    thinks
        The request field that makes the model think before it answers, ``"enable_thinking"`` or
        ``"thinking"``; ``"always"`` if it always does; empty if it cannot.
    json
        Whether the model accepts ``response_format``, to answer in JSON.
    source
        Origin of the card: ``"documents"``, ``"yours"`` (the user's own) or ``"service"``.
    """

    name: str
    kinds: tuple[Kind, ...]
    version: ApiVersion = ApiVersion.V1
    endpoint: str = ""
    model: str = ""
    max_characters: int | None = None
    max_tokens: int | None = None
    sees: bool = False
    thinks: str = ""
    json: bool = False
    source: str = "documents"

    @property
    def key(self) -> str:
        """The normalised name, such as ``dolly_12b``."""
        return key_of(self.name)


def key_of(name: str) -> str:
    """Return a model's name in the normalised form by which it is found.

    Examples
    --------
    >>> key_of("ERNIE-5.1")
    'ernie_5_1'
    """
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _small_chats(*names: tuple[str, str]) -> tuple[Card, ...]:
    """Make cards of version 1 from names and endpoints, with the limit their documents share."""
    return tuple(
        Card(name=name, kinds=CHAT, endpoint=endpoint, max_characters=4_800)
        for name, endpoint in names
    )


def _v2_card(
    name: str,
    tokens: int | None = None,
    *,
    kinds: tuple[Kind, ...] = CHAT,
    sees: bool = False,
    thinks: str = "",
) -> Card:
    """Make a card of version 2, whose documents state limits in tokens only.

    All its chat models accept ``response_format``.
    """
    return Card(
        name=name,
        kinds=kinds,
        version=ApiVersion.V2,
        max_tokens=tokens,
        sees=sees,
        thinks=thinks,
        json="chat" in kinds,
    )


#: The known models. Sources of the limits: the models' API documents (version 1) and the list of
#: models of version 2, rounded down.
CARDS: tuple[Card, ...] = (
    Card(name="Dolly-12B", kinds=CHAT, max_characters=4_800),
    Card(name="StarCoder", kinds=COMPLETION),
    Card(name="AquilaCode-multi", kinds=COMPLETION),
    Card(name="StableLM-Alpha-7B", kinds=COMPLETION, max_tokens=4_096),
    Card(
        name="ERNIE-4.0-8K",
        kinds=CHAT,
        endpoint="completions_pro",
        max_characters=20_000,
        max_tokens=5_120,
        json=True,
    ),
    Card(
        name="ERNIE-3.5-8K",
        kinds=CHAT,
        endpoint="completions",
        max_characters=20_000,
        max_tokens=5_120,
        json=True,
    ),
    Card(
        name="ERNIE-Speed",
        kinds=CHAT,
        endpoint="ernie_speed",
        max_characters=11_200,
        max_tokens=7_168,
    ),
    Card(
        name="ERNIE-Lite-8K",
        kinds=CHAT,
        endpoint="ernie-lite-8k",
        max_characters=11_200,
        max_tokens=7_168,
    ),
    Card(
        name="ERNIE-Speed-128K",
        kinds=CHAT,
        endpoint="ernie-speed-128k",
        max_characters=507_904,
        max_tokens=126_976,
    ),
    Card(
        name="ERNIE-Tiny-8K",
        kinds=CHAT,
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
    Card(name="SQLCoder-7B", kinds=COMPLETION, endpoint="sqlcoder_7b"),
    Card(name="CodeLlama-7b", kinds=COMPLETION, endpoint="codellama_7b_instruct"),
    _v2_card("ernie-5.1", 119_000, thinks="enable_thinking"),
    _v2_card("ernie-5.0", 119_000, sees=True, thinks="enable_thinking"),
    _v2_card("ernie-4.5-turbo-128k"),
    _v2_card("ernie-4.5-turbo-vl", 123_000, sees=True),
    _v2_card("ernie-x1.1", 55_000, thinks="always"),
    _v2_card("ernie-4.0-8k", 5_120),
    _v2_card("ernie-3.5-8k", 5_120),
    _v2_card("ernie-speed-128k", 126_976),
    _v2_card("deepseek-v4-pro", 1_000_000, thinks="thinking"),
    _v2_card("deepseek-v3.2", 96_000, kinds=BOTH, thinks="thinking"),
    _v2_card("deepseek-v3.2-think", 96_000, thinks="always"),
    _v2_card("glm-5.3", thinks="thinking"),
    _v2_card("qwen3.5-397b-a17b"),
    _v2_card("qwen3-vl-235b-a22b-instruct", sees=True),
    _v2_card("qwen3-coder-30b-a3b-instruct", kinds=BOTH),
    _v2_card("qwen3-coder-480b-a35b-instruct", kinds=BOTH),
)
