"""Model cards: what is known of a model before it is asked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.api.types import BOTH, ApiVersion, Kind

CHAT: tuple[Kind, ...] = ("chat",)
COMPLETION: tuple[Kind, ...] = ("completion",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One model.

    Attributes
    ----------
    name
        As Qianfan writes it; ``-m`` takes it in any case, with ``-`` or ``_``.
    kinds
        ``"chat"``, ``"completion"`` or both.
    version
        Of the API that serves it.
    endpoint
        Version 1: the preset address, empty where the owner publishes the model and chooses one.
        With version 2: its address in version 1, which is asked where only that has keys.
    model
        Version 2: its name there, where it differs.
    max_characters
        Of all messages (or the prompt) together; None where no document states it.
    max_tokens
        Likewise, by the service's own count.
    sees
        Whether it takes pictures.
    thinks
        How it is told to think before it answers: ``"enable_thinking"`` or ``"thinking"``, as
        the field is called, ``"always"`` where it need not be told, or empty if it does not.
    json
        Whether it can be told to answer in JSON (``response_format``).
    source
        Who says so: ``"documents"``, ``"yours"`` or ``"service"``.
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
        """The name as a word: ``dolly_12b``."""
        return key_of(self.name)


def key_of(name: str) -> str:
    """Return a model's name as a word, by which it is found: ``ernie_5_1``."""
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()


def _small_chats(*names: tuple[str, str]) -> tuple[Card, ...]:
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
    """Make a card of version 2, whose chats take ``response_format`` and state no characters."""
    return Card(
        name=name,
        kinds=kinds,
        version=ApiVersion.V2,
        max_tokens=tokens,
        sees=sees,
        thinks=thinks,
        json="chat" in kinds,
    )


#: Limits: version 1, the API documents of the models; version 2, tokens of input as its model
#: list has them (rounded down), where it does.
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
