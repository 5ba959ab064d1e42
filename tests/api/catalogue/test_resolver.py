"""The model cards, and to which service and version a request goes, with which limits."""

import re
from dataclasses import replace
from datetime import date

import pytest

from qianfan_magic.api.catalogue.cards import (
    CHAT,
    Card,
    ended_hint,
    package_cards,
    read_cards_document,
)
from qianfan_magic.api.catalogue.parameters import BY_NAME
from qianfan_magic.api.catalogue.resolver import Catalogue, Service, check_endpoint, check_length
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import ParameterError, SettingsError

# Name, kind, preset endpoint, characters, tokens: the API documents of the models.
DOCUMENTED = [
    ("Dolly-12B", "chat", "", 4_800, None),
    ("StarCoder", "completion", "", None, None),
    ("AquilaCode-multi", "completion", "", None, None),
    ("StableLM-Alpha-7B", "completion", "", None, 4_096),
    ("ERNIE-4.0-8K", "chat", "completions_pro", 20_000, 5_120),
    ("ERNIE-3.5-8K", "chat", "completions", 20_000, 5_120),
    ("ERNIE-Speed", "chat", "ernie_speed", 11_200, 7_168),
    ("ERNIE-Lite-8K", "chat", "ernie-lite-8k", 11_200, 7_168),
    ("ERNIE-Speed-128K", "chat", "ernie-speed-128k", 507_904, 126_976),
    ("ERNIE-Tiny-8K", "chat", "ernie-tiny-8k", 24_000, 6_144),
    ("Llama-2-7B", "chat", "llama_2_7b", 4_800, None),
    ("Llama-2-13B", "chat", "llama_2_13b", 4_800, None),
    ("Llama-2-70B", "chat", "llama_2_70b", 4_800, None),
    ("Llama-3-8B", "chat", "llama_3_8b", 4_800, None),
    ("Llama-3-70B", "chat", "llama_3_70b", 4_800, None),
    ("ChatGLM2-6B-32K", "chat", "chatglm2_6b_32k", 4_800, None),
    ("AquilaChat-7B", "chat", "aquilachat_7b", 4_800, None),
    ("Mixtral-8x7B", "chat", "mixtral_8x7b_instruct", 4_800, None),
    ("BLOOMZ-7B", "chat", "bloomz_7b1", 4_800, None),
    ("SQLCoder-7B", "completion", "sqlcoder_7b", None, None),
    ("CodeLlama-7b", "completion", "codellama_7b_instruct", None, None),
]

CATALOGUE = Catalogue()
VERSIONS: list[tuple[int, ...]] = [(), (1,), (2,), (1, 2)]


def card_of_model(name):
    return CATALOGUE.named(name)[0]


def resolve(endpoint, model, kind="chat", versions=(1, 2)):
    """Return the version, the name and the card's name and version of the service."""
    found = CATALOGUE.resolve(endpoint, model, kind, versions)
    return found.version, found.name, found.card and (found.card.name, found.card.version)


def refusal(endpoint, model, kind="chat", versions=(1, 2)):
    """Return the message and the hint of the error, which must have both."""
    with pytest.raises(ParameterError) as caught:
        pytest.fail(f"Resolved to {CATALOGUE.resolve(endpoint, model, kind, versions)}")
    assert caught.value.hint, caught.value
    return str(caught.value)


# --- the cards


def test_cards_of_version_1_are_those_of_the_documents():
    documented = [
        Card(
            name=name,
            kinds=(kind,),
            endpoint=endpoint,
            max_characters=characters,
            max_tokens=tokens,
            json=name in {"ERNIE-4.0-8K", "ERNIE-3.5-8K"},
            tools=name in {"ERNIE-4.0-8K", "ERNIE-3.5-8K"} or None,
        )
        for name, kind, endpoint, characters, tokens in DOCUMENTED
    ]
    cards = [replace(card, source="") for card in package_cards() if card.version == 1]
    assert cards == documented


def test_each_model_of_a_version_has_one_card_with_its_source():
    cards = package_cards()
    assert len({(card.version, card.key) for card in cards}) == len(cards)
    for card in cards:
        assert re.search(r", 20\d\d-\d\d-\d\d$", card.source), card.name


def test_model_that_has_ended_has_a_living_successor_of_its_kind():
    living = {card.name: card for card in package_cards() if card.ends is None}
    ended = [card for card in package_cards() if card.ends]
    assert "deepseek-v3.2" in {card.name for card in ended}
    for card in ended:
        successor = living[card.successor]
        assert successor.version == card.version, card.name
        assert "chat" in successor.kinds, card.name


def test_model_has_ended_from_its_last_day_on():
    day, before = date(2026, 9, 29), date(2026, 9, 28)
    ended = "The service no longer offers old since 2026-09-29"
    for successor, end in (("new", f"{ended}: use new. "), ("", f"{ended}. ")):
        card = Card(name="old", kinds=CHAT, ends=day, successor=successor)
        assert (ended_hint(card, before), ended_hint(card, day)) == ("", end), successor
    for lasting in (None, Card(name="old", kinds=CHAT)):
        assert ended_hint(lasting, day) == "", lasting


def test_data_file_may_have_no_other_field_or_source():
    row = {"name": "new", "version": 2, "kinds": ["chat"], "sources": ["here", "it"]}
    sources = {name: {"title": name, "date": date(2026, 1, 2)} for name in ("here", "it")}
    (card,) = read_cards_document({"sources": sources, "models": [row]})
    read = "here, 2026-01-02; it, 2026-01-02"
    assert card == Card(name="new", kinds=("chat",), version=2, source=read)
    with pytest.raises(TypeError, match="max_token"):
        read_cards_document({"sources": sources, "models": [row | {"max_token": 5}]})
    with pytest.raises(KeyError, match="there"):
        read_cards_document({"sources": sources, "models": [row | {"sources": ["there"]}]})


def test_key_of_a_card_is_a_word():
    assert card_of_model("ERNIE-4.0-8K").key == "ernie_4_0_8k"


def test_model_is_found_by_name_and_preset_endpoint_in_any_spelling():
    cases = [
        ("DOLLY-12B", "Dolly-12B"),
        ("dolly_12b", "Dolly-12B"),
        ("dolly 12b", "Dolly-12B"),
        (" Dolly-12B ", "Dolly-12B"),
        ("starcoder", "StarCoder"),
        ("ernie-4.0-8k", "ERNIE-4.0-8K"),
        ("ERNIE_Lite_8K", "ERNIE-Lite-8K"),
        ("completions_pro", "ERNIE-4.0-8K"),
        ("completions", "ERNIE-3.5-8K"),
        ("bloomz_7b1", "BLOOMZ-7B"),
    ]
    for typed, name in cases:
        assert card_of_model(typed).name == name, typed
    both = [(card.name, card.version) for card in CATALOGUE.named("ernie-4.0-8k")]
    assert both == [("ERNIE-4.0-8K", 1), ("ernie-4.0-8k", 2)]


def test_name_of_an_endpoint_may_reveal_its_model():
    cases = [
        ("dolly_12b", "chat", "Dolly-12B"),
        ("ngxxxol8_dolly_12b", "chat", "Dolly-12B"),
        ("ngxxxol8_Dolly-12B", "chat", "Dolly-12B"),
        ("prefix_starcoder", "completion", "StarCoder"),
        ("prefix_aquilacode_multi", "completion", "AquilaCode-multi"),
        ("prefix_stablelm_alpha_7b", "completion", "StableLM-Alpha-7B"),
        ("completions_pro", "chat", "ERNIE-4.0-8K"),
        ("sqlcoder_7b", "completion", "SQLCoder-7B"),
        ("ngxxxol8_test1", "chat", None),
        ("prefix_dolly_12b", "completion", None),
        ("prefix_dolly_12b_v2", "chat", None),
        ("mydolly_12b", "chat", None),
        ("completions_pro", "completion", None),
        ("my_completions_pro", "chat", None),
    ]
    for endpoint, kind, name in cases:
        card = CATALOGUE.of_endpoint(endpoint, kind)
        assert (card and card.name) == name, (endpoint, kind)


# --- names


def test_endpoint_is_one_path_segment():
    for endpoint in (
        *("ngxxxol8_test1", "ernie-lite-8k", "v1.2", "我的服务", "模型_1", "é", "a", "7", "_x"),
    ):
        assert check_endpoint(endpoint) == endpoint
    paths = ["", " ", "a/b", "/a", "a/", r"a\b", "a?b", "a#b", "a&b", "a=b", "a:b", "a;b", "a@b"]
    paths += [".", "..", "../a", "a..b", "a b", " a", "a ", "a\n", "a\nb", "a\r\nHost: b", "a\tb"]
    paths += ["a\0", "%2e%2e", "a%2Fb", "a\u2028", "\u202ea", "a\uff0fb", "a\ud800", "{a}", "<a>"]
    for invalid in (*paths, "'a'", None, 5, b"a", ["a"]):
        with pytest.raises(ParameterError) as caught:
            pytest.fail(f"{check_endpoint(invalid)!r} was accepted")
        assert caught.value.message.startswith(f"The endpoint {invalid!r} is not one name")


def test_invalid_endpoint_is_refused_beside_a_model_too():
    for endpoint, model in (("", None), ("", "Dolly-12B"), ("../oauth", "Dolly-12B")):
        assert "is not one name" in refusal(endpoint, model), (endpoint, model)


def test_invalid_model_name_is_refused():
    for kind in ("chat", "completion"):
        for model in ("", " ", "a b", "a\n", "../x", "-m", "a?b", "a\x00", 5):
            assert f"The model {model!r} is not one name" in refusal(None, model, kind), model
        assert "No service is named" in refusal(None, None, kind)


# --- version 1


def test_endpoint_is_a_service_of_version_1_whatever_the_credentials():
    dolly, ernie = ("Dolly-12B", 1), ("ERNIE-4.0-8K", 1)
    cases = [
        ("ngxxxol8_test1", None, "chat", None),
        ("prefix_dolly_12b", None, "chat", dolly),
        ("test1", "ernie-4.0-8k", "chat", ernie),
        # The name of the model takes precedence over what the endpoint reveals.
        ("prefix_starcoder", "StableLM-Alpha-7B", "completion", ("StableLM-Alpha-7B", 1)),
    ]
    for endpoint, model, kind, card in cases:
        for versions in VERSIONS:
            service = resolve(endpoint, model, kind, versions)
            assert service == (1, endpoint, card), (endpoint, model, versions)


def test_model_without_a_preset_endpoint_needs_one():
    for model, kind in (
        ("Dolly-12B", "chat"),
        ("StarCoder", "completion"),
        ("AquilaCode-multi", "completion"),
        ("StableLM-Alpha-7B", "completion"),
    ):
        words = refusal(None, model, kind, (1,))
        assert words.startswith(f"{model} has no preset address"), model
        assert f"-m {model} -e NAME" in words, model


def test_model_of_the_other_kind_is_refused_with_its_magic():
    cases = [
        ("test1", "StarCoder", "chat", "%%qianfan_complete"),
        ("test1", "SQLCoder-7B", "chat", "%%qianfan_complete"),
        ("test1", "Dolly-12B", "completion", "%%qianfan_chat"),
        ("test1", "ERNIE-Speed", "completion", "%%qianfan_chat"),
        (None, "ernie-5.1", "completion", "%%qianfan_chat"),
    ]
    for endpoint, model, kind, magic in cases:
        for versions in VERSIONS:
            words = refusal(endpoint, model, kind, versions)
            other = "chat" if kind == "completion" else "completion"
            assert f"{model} is a {other} model" in words
            assert f"Use it with {magic}." in words, model


def test_endpoint_beside_a_model_that_version_1_does_not_have_is_refused():
    for versions in VERSIONS:
        words = refusal("test1", "ernie-5.1", versions=versions)
        assert "-e test1 is a service of version 1 of the API, and ernie-5.1 a model" in words
        words = refusal("test1", "gpt-4", versions=versions)
        assert "The catalogue has no model 'gpt-4'" in words


# --- one of both versions


def test_model_of_one_version_is_called_there_whatever_the_credentials():
    cases = [
        ("ernie-lite-8k", "chat", (1, "ernie-lite-8k", ("ERNIE-Lite-8K", 1))),
        ("completions_pro", "chat", (1, "completions_pro", ("ERNIE-4.0-8K", 1))),
        ("ernie-5.1", "chat", (2, "ernie-5.1", ("ernie-5.1", 2))),
        ("ERNIE_5.1", "chat", (2, "ernie-5.1", ("ernie-5.1", 2))),
        (" Ernie 5-1", "chat", (2, "ernie-5.1", ("ernie-5.1", 2))),
        ("deepseek-v3.2", "chat", (2, "deepseek-v3.2", ("deepseek-v3.2", 2))),
        ("deepseek-v3.2", "completion", (2, "deepseek-v3.2", ("deepseek-v3.2", 2))),
    ]
    for model, kind, service in cases:
        for versions in VERSIONS:
            assert resolve(None, model, kind, versions) == service, (model, kind, versions)


def test_model_of_both_versions_is_called_where_there_are_credentials():
    v1, v2 = (1, "completions_pro", ("ERNIE-4.0-8K", 1)), (2, "ernie-4.0-8k", ("ernie-4.0-8k", 2))
    for versions, service in (((1,), v1), ((2,), v2), ((1, 2), v2)):
        assert resolve(None, "ERNIE-4.0-8K", versions=versions) == service, versions


def test_model_of_both_versions_without_credentials_is_refused_with_all_variables():
    with pytest.raises(SettingsError, match=r"^There are no credentials, and both versions") as e:
        CATALOGUE.resolve(None, "ERNIE-4.0-8K", "chat", ())
    words = ("QIANFAN_AK", "QIANFAN_SK", "QIANFAN_API_KEY", "QIANFAN_ACCESS_KEY")
    assert [word for word in words if word not in e.value.hint] == []
    assert e.value.message.endswith(" have ernie-4.0-8k")


def test_model_without_a_card_is_called_as_typed_in_version_2():
    for model in ("gpt-4", "Qwen/Qwen3-8B", "a.b:c_d", "模型-1", "kimi-k2.5"):
        for versions in ((2,), (1, 2)):
            assert resolve(None, model, versions=versions) == (2, model, None), (model, versions)


def test_model_without_a_card_is_refused_without_credentials_of_version_2():
    for model in ("gpt-4", "", "-", "dolly", "千帆"):
        for versions in ((), (1,)):
            words = refusal(None, model, versions=versions)
            assert words.startswith(f"The catalogue has no model {model!r}"), model
            assert "it is unknown which version" in words, model
    hint = refusal(None, "gpt-4", versions=(1,)).split("\n")[1]
    words = ("-e NAME", "QIANFAN_API_KEY", "QIANFAN_ACCESS_KEY", "%qianfan models")
    assert [word for word in words if word not in hint] == []
    assert hint.startswith("Version 1: ")


def test_refusal_of_an_unknown_model_suggests_a_near_one():
    for typed, meant in (("dolly-13b", "Dolly-12B"), ("ernie-speed-129k", "ERNIE-Speed-128K")):
        hint = refusal(None, typed, versions=(1,)).split("\n")[1]
        assert hint.startswith(f"Did you mean {meant}? "), typed


def test_naming_nothing_is_refused_with_the_variable_to_set():
    for kind, variable in (
        ("chat", "QIANFAN_CHAT_ENDPOINT"),
        ("completion", "QIANFAN_COMPLETE_ENDPOINT"),
    ):
        assert variable in refusal(None, None, kind)


# --- limits


def test_text_longer_than_the_card_allows_is_refused():
    for model in ("Dolly-12B", "ERNIE-4.0-8K", "ERNIE-Speed-128K"):
        card = card_of_model(model)
        check_length(card.max_characters, card)
        with pytest.raises(ParameterError, match="Shorten it"):
            check_length(card.max_characters + 1, card)
    with pytest.raises(ParameterError, match="4,801 characters, and Dolly-12B takes at most 4,800"):
        check_length(4_801, card_of_model("Dolly-12B"))


def test_text_of_any_length_is_allowed_without_a_known_limit():
    for card in (None, Card(name="x", kinds=("chat",))):
        check_length(10_000_000, card)


# --- cards of the user


def test_other_card_replaces_those_of_its_name_in_both_versions():
    v2 = Card(name="Ernie_5.1", kinds=("chat",), version=2, model="am-1", source="yours")
    v1 = Card(name="ernie-5.1", kinds=("chat",), endpoint="my_ernie")
    for card in (v2, v1):
        catalogue = Catalogue([card])
        assert catalogue.named("ernie-5.1") == [card]
        assert len(catalogue.cards) == len(package_cards())


def test_model_of_another_name_is_called_by_it():
    mine = Card(name="mine", kinds=("chat",), version=2, model="am-abc")
    assert Catalogue([mine]).resolve(None, "Mine", "chat", (2,)).name == "am-abc"


def test_model_with_an_endpoint_too_is_called_at_it_with_credentials_of_version_1_alone():
    mine = Card(name="mine", kinds=("chat",), version=2, model="am-abc", endpoint="ep")
    for versions in VERSIONS:
        found = Catalogue([mine]).resolve(None, "mine", "chat", versions)
        assert found.card == mine
        service = (1, "ep") if versions == (1,) else (2, "am-abc")
        assert (found.version, found.name) == service, versions


def test_catalogues_share_no_cards():
    Catalogue([Card(name="mine", kinds=("chat",), version=2)])
    assert Catalogue().named("mine") == []


# --- defaults of the settings


def test_default_is_the_endpoint_or_the_model():
    cases = [
        (None, None, (1, 2), (None, None)),
        ("ep", None, (1, 2), ("ep", None)),
        ("ep", None, (2,), ("ep", None)),
        (None, "ernie-5.1", (), (None, "ernie-5.1")),
        (None, "gpt-4", (1,), (None, "gpt-4")),
        # Of version 1, or of both: the endpoint is called, with the limits of the model's card.
        ("ep", "Dolly-12B", (1,), ("ep", "Dolly-12B")),
        ("ep", "Dolly-12B", (1, 2), ("ep", "Dolly-12B")),
        ("ep", "ernie-4.0-8k", (1,), ("ep", "ernie-4.0-8k")),
        # Of version 2: the model is called if there are credentials.
        ("ep", "ernie-5.1", (1,), ("ep", None)),
        ("ep", "ernie-5.1", (2,), (None, "ernie-5.1")),
        ("ep", "ernie-5.1", (1, 2), (None, "ernie-5.1")),
        ("ep", "ernie-5.1", (), ("ep", None)),
        ("ep", "gpt-4", (2,), (None, "gpt-4")),
        # Of the other kind.
        ("ep", "StarCoder", (1, 2), ("ep", None)),
        (None, "StarCoder", (1, 2), (None, None)),
        # A misspelt name is not ignored.
        ("ep", "dolly-13b", (1,), ("ep", "dolly-13b")),
    ]
    for endpoint, model, versions, chosen in cases:
        default = CATALOGUE._default(endpoint, model, "chat", versions)
        assert default == chosen, (endpoint, model, versions)


def test_default_model_of_one_kind_leaves_the_other_to_its_endpoint():
    mine = Card(name="qwen3-coder-30b-a3b-instruct", kinds=("completion",), version=2)
    catalogue = Catalogue([mine])
    assert catalogue._default("ep", mine.name, "chat", (1, 2)) == ("ep", None)
    assert catalogue._default("ep", mine.name, "completion", (1, 2)) == (None, mine.name)


def test_first_default_of_the_kind_applies_where_the_caller_names_nothing():
    defaults = [(None, "StarCoder"), (None, "ernie-5.1"), ("ep", None)]
    cases = [
        (None, None, "ernie-5.1"),
        ("mine", None, "mine"),
        (None, "ernie-5.0", "ernie-5.0"),
    ]
    for endpoint, model, name in cases:
        service = CATALOGUE.resolve(endpoint, model, "chat", (1, 2), defaults=defaults)
        assert service.name == name


def test_capabilities_of_a_service_without_a_card_are_those_of_its_version():
    with_json = {
        Service("ep"): False,
        Service("m", version=ApiVersion.V2): True,
        Service("ep", card=card_of_model("ERNIE-4.0-8K")): True,
        Service("ep", card=card_of_model("Dolly-12B")): False,
    }
    assert {service: service.can_json for service in with_json} == with_json


def test_parameter_is_taken_by_version_kind_and_ability_of_the_model():
    unknown, v1 = Service("m", version=ApiVersion.V2), Service("ep")
    effort = Service("m", version=ApiVersion.V2, card=Card(name="m", kinds=CHAT, effort=True))
    thinks, plain = (
        Service(name, version=ApiVersion.V2, card=card_of_model(name))
        for name in ("ernie-5.1", "ernie-4.5-turbo-vl")
    )
    cases = {
        "temperature": {unknown, v1, effort, thinks, plain},
        "seed": {unknown, effort, thinks, plain},
        "top_k": {v1},
        "enable_thinking": {unknown, thinks},
        "thinking_budget": {unknown, thinks},
        "web_search": {unknown, thinks},
        "search_mode": {unknown, thinks},
        "reasoning_effort": {unknown, effort},
    }
    services = {unknown, v1, effort, thinks, plain}
    for name, takers in cases.items():
        assert {one for one in services if one.takes(BY_NAME[name], "chat")} == takers, name
    assert not unknown.takes(BY_NAME["seed"], "completion")
