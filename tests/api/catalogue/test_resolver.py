"""The model cards, and which address is called by whose limits."""

import pytest

from qianfan_magic.api.catalogue.cards import CARDS, Card
from qianfan_magic.api.catalogue.resolver import Catalogue, check_endpoint, check_length
from qianfan_magic.errors import ParameterError, SettingsError

# Name, kind, preset address, characters, tokens: the API documents of the models.
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

# Name, tokens of input, whether it takes pictures, how it is told to think: version 2's model
# list and its page on thinking.
DOCUMENTED_2 = [
    ("ernie-5.1", 119_000, False, "enable_thinking"),
    ("ernie-5.0", 119_000, True, "enable_thinking"),
    ("ernie-4.5-turbo-128k", None, False, ""),
    ("ernie-4.5-turbo-vl", 123_000, True, ""),
    ("ernie-x1.1", 55_000, False, "always"),
    ("ernie-4.0-8k", 5_120, False, ""),
    ("ernie-3.5-8k", 5_120, False, ""),
    ("ernie-speed-128k", 126_976, False, ""),
    ("deepseek-v4-pro", 1_000_000, False, "thinking"),
    ("deepseek-v3.2", 96_000, False, "thinking"),
    ("deepseek-v3.2-think", 96_000, False, "always"),
    ("glm-5.3", None, False, "thinking"),
    ("qwen3.5-397b-a17b", None, False, ""),
    ("qwen3-vl-235b-a22b-instruct", None, True, ""),
    ("qwen3-coder-30b-a3b-instruct", None, False, ""),
    ("qwen3-coder-480b-a35b-instruct", None, False, ""),
]
CATALOGUE = Catalogue()


def card_of_model(name):
    return CATALOGUE.named(name)[0]


def card_of_endpoint(endpoint, kind):
    return CATALOGUE.of_endpoint(endpoint, kind)


def find_service(endpoint, model, kind):
    service = CATALOGUE.resolve(endpoint, model, kind, (1,))
    return service.name, service.card


def named(card):
    return card and card.name


@pytest.mark.parametrize(("name", "kind", "endpoint", "characters", "tokens"), DOCUMENTED)
def test_card_says_what_the_document_says(name, kind, endpoint, characters, tokens):
    assert card_of_model(name) == Card(
        name=name,
        kinds=(kind,),
        endpoint=endpoint,
        max_characters=characters,
        max_tokens=tokens,
        json=name in {"ERNIE-4.0-8K", "ERNIE-3.5-8K"},
    )


def test_catalogue_has_no_other_cards_of_version_1():
    assert [card.name for card in CARDS if card.version == 1] == [row[0] for row in DOCUMENTED]


@pytest.mark.parametrize(("name", "tokens", "sees", "thinks"), DOCUMENTED_2)
def test_card_of_version_2_says_what_the_lists_say(name, tokens, sees, thinks):
    card = CATALOGUE.named(name)[-1]
    assert (card.name, card.version, card.endpoint) == (name, 2, "")
    assert (card.max_characters, card.max_tokens) == (None, tokens)
    assert (card.sees, card.thinks) == (sees, thinks)


def test_catalogue_has_no_other_cards_of_version_2():
    names = [card.name for card in CARDS if card.version == 2]
    assert sorted(names) == sorted(row[0] for row in DOCUMENTED_2)


def test_completions_of_version_2_are_of_the_models_that_fill():
    filling = {c.name for c in CARDS if c.version == 2 and "completion" in c.kinds}
    coders = {"qwen3-coder-30b-a3b-instruct", "qwen3-coder-480b-a35b-instruct"}
    assert filling == {"deepseek-v3.2", *coders}


@pytest.mark.parametrize(
    ("typed", "name"),
    [
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
    ],
)
def test_model_is_found_however_it_is_typed(typed, name):
    assert card_of_model(typed).name == name


@pytest.mark.parametrize("typed", ["gpt-4", "", "-", "dolly", "千帆"])
def test_unknown_model_is_refused(typed):
    with pytest.raises(ParameterError, match=r"^The catalogue has no model"):
        find_service(None, typed, "chat")


@pytest.mark.parametrize(
    ("typed", "meant"), [("dolly-13b", "Dolly-12B"), ("ernie-speed-129k", "ERNIE-Speed-128K")]
)
def test_refusal_of_an_unknown_model_suggests_one(typed, meant):
    with pytest.raises(ParameterError) as caught:
        find_service(None, typed, "chat")
    assert caught.value.hint.startswith(f"Did you mean {meant}? ")


def test_refusal_of_an_unknown_model_says_what_is_missing_for_each_version():
    with pytest.raises(ParameterError) as caught:
        find_service(None, "gpt-4", "chat")
    words = ("-e NAME", "QIANFAN_BEARER_TOKEN", "QIANFAN_ACCESS_KEY", "%qianfan models")
    assert [word for word in words if word not in caught.value.hint] == []


def test_key_of_a_card_is_a_word():
    assert card_of_model("ERNIE-4.0-8K").key == "ernie_4_0_8k"


@pytest.mark.parametrize(
    ("endpoint", "kind", "name"),
    [
        ("dolly_12b", "chat", "Dolly-12B"),
        ("ngxxxol8_dolly_12b", "chat", "Dolly-12B"),
        ("ngxxxol8_Dolly-12B", "chat", "Dolly-12B"),
        ("prefix_starcoder", "completion", "StarCoder"),
        ("prefix_aquilacode_multi", "completion", "AquilaCode-multi"),
        ("prefix_stablelm_alpha_7b", "completion", "StableLM-Alpha-7B"),
        ("completions_pro", "chat", "ERNIE-4.0-8K"),
        ("sqlcoder_7b", "completion", "SQLCoder-7B"),
    ],
)
def test_card_behind_an_endpoint(endpoint, kind, name):
    assert named(card_of_endpoint(endpoint, kind)) == name


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("ngxxxol8_test1", "chat"),
        ("prefix_dolly_12b", "completion"),
        ("prefix_dolly_12b_v2", "chat"),
        ("mydolly_12b", "chat"),
        ("completions_pro", "completion"),
        ("my_completions_pro", "chat"),
    ],
)
def test_endpoint_that_tells_no_model_has_no_card(endpoint, kind):
    assert card_of_endpoint(endpoint, kind) is None


@pytest.mark.parametrize(
    "endpoint",
    ["ngxxxol8_test1", "ernie-lite-8k", "v1.2", "我的服务", "模型_1", "é", "a", "7", "_x"],
)
def test_name_is_an_endpoint(endpoint):
    assert check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        " ",
        "a/b",
        "/a",
        "a/",
        r"a\b",
        "a?b",
        "a#b",
        "a&b",
        "a=b",
        "a:b",
        "a;b",
        "a@b",
        ".",
        "..",
        "../a",
        "a..b",
        "a b",
        " a",
        "a ",
        "a\n",
        "a\nb",
        "a\r\nHost: b",
        "a\tb",
        "a\0",
        "%2e%2e",
        "a%2Fb",
        "a\u2028",
        "\u202ea",
        "a\uff0fb",
        "a\ud800",
        "{a}",
        "<a>",
        "'a'",
        None,
        5,
        b"a",
        ["a"],
    ],
)
def test_what_is_no_single_name_is_no_endpoint(endpoint):
    with pytest.raises(ParameterError, match="is not one name"):
        check_endpoint(endpoint)


def test_endpoint_goes_without_a_model():
    assert find_service("ngxxxol8_test1", None, "chat") == ("ngxxxol8_test1", None)


def test_endpoint_that_tells_its_model_brings_its_card():
    endpoint, card = find_service("prefix_dolly_12b", None, "chat")
    assert (endpoint, named(card)) == ("prefix_dolly_12b", "Dolly-12B")


def test_model_alone_is_called_at_its_preset_address():
    endpoint, card = find_service(None, "ernie-4.0-8k", "chat")
    assert (endpoint, named(card)) == ("completions_pro", "ERNIE-4.0-8K")


def test_model_beside_an_endpoint_only_names_the_card():
    endpoint, card = find_service("test1", "ernie-4.0-8k", "chat")
    assert (endpoint, named(card)) == ("test1", "ERNIE-4.0-8K")


def test_model_wins_over_what_the_endpoint_tells():
    _, card = find_service("prefix_starcoder", "StableLM-Alpha-7B", "completion")
    assert named(card) == "StableLM-Alpha-7B"


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("Dolly-12B", "chat"),
        ("StarCoder", "completion"),
        ("AquilaCode-multi", "completion"),
        ("StableLM-Alpha-7B", "completion"),
    ],
)
def test_model_without_a_preset_address_asks_for_one(model, kind):
    with pytest.raises(ParameterError, match=f"-m {model} -e NAME"):
        find_service(None, model, kind)


@pytest.mark.parametrize(
    ("model", "kind", "magic"),
    [
        ("StarCoder", "chat", "%%qianfan_complete"),
        ("SQLCoder-7B", "chat", "%%qianfan_complete"),
        ("Dolly-12B", "completion", "%%qianfan_chat"),
        ("ERNIE-Speed", "completion", "%%qianfan_chat"),
    ],
)
def test_model_of_the_other_kind_is_refused_with_its_magic(model, kind, magic):
    with pytest.raises(ParameterError, match=f"Use it with {magic}."):
        find_service("test1", model, kind)


@pytest.mark.parametrize(
    ("kind", "variable"),
    [("chat", "QIANFAN_CHAT_ENDPOINT"), ("completion", "QIANFAN_COMPLETE_ENDPOINT")],
)
def test_naming_nothing_is_refused_with_the_variable_to_set(kind, variable):
    with pytest.raises(ParameterError, match=variable):
        find_service(None, None, kind)


@pytest.mark.parametrize("model", [None, "Dolly-12B"])
def test_empty_endpoint_is_not_taken_for_none(model):
    with pytest.raises(ParameterError, match="is not one name"):
        find_service("", model, "chat")


def test_bad_endpoint_is_refused_beside_a_model_too():
    with pytest.raises(ParameterError, match="is not one name"):
        find_service("../oauth", "Dolly-12B", "chat")


@pytest.mark.parametrize("model", ["Dolly-12B", "ERNIE-4.0-8K", "ERNIE-Speed-128K"])
def test_one_character_more_than_the_card_allows_is_refused(model):
    card = card_of_model(model)
    check_length(card.max_characters, card)
    with pytest.raises(ParameterError, match="Shorten it"):
        check_length(card.max_characters + 1, card)


def test_refusal_of_a_long_text_says_both_numbers():
    with pytest.raises(ParameterError, match="4,801 characters, and Dolly-12B takes at most 4,800"):
        check_length(4_801, card_of_model("Dolly-12B"))


@pytest.mark.parametrize(
    "card", [None, Card(name="x", kinds=("chat",))], ids=["no card", "no limit"]
)
def test_length_without_a_known_limit_is_allowed(card):
    assert check_length(10_000_000, card) is None


# --- which version is asked

OPEN = [(), (1,), (2,), (1, 2)]


def asked(endpoint, model, kind="chat", versions=(1, 2)):
    found = CATALOGUE.resolve(endpoint, model, kind, versions)
    return found.version, found.name, found.card and (found.card.name, found.card.version)


def refusal(endpoint, model, kind="chat", versions=(1, 2)):
    with pytest.raises(ParameterError) as caught:
        CATALOGUE.resolve(endpoint, model, kind, versions)
    return str(caught.value)


@pytest.mark.parametrize("versions", OPEN)
def test_endpoint_is_of_version_1_whatever_the_credentials(versions):
    assert asked("ngxxxol8_test1", None, versions=versions) == (1, "ngxxxol8_test1", None)


@pytest.mark.parametrize("versions", OPEN)
def test_model_of_version_1_alone_is_asked_there(versions):
    card = ("ERNIE-Lite-8K", 1)
    assert asked(None, "ernie-lite-8k", versions=versions) == (1, "ernie-lite-8k", card)


@pytest.mark.parametrize("versions", OPEN)
@pytest.mark.parametrize("typed", ["ernie-5.1", "ERNIE_5.1", " Ernie 5-1"])
def test_model_of_version_2_alone_is_asked_there(versions, typed):
    assert asked(None, typed, versions=versions) == (2, "ernie-5.1", ("ernie-5.1", 2))


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        ((1,), (1, "completions_pro", ("ERNIE-4.0-8K", 1))),
        ((2,), (2, "ernie-4.0-8k", ("ernie-4.0-8k", 2))),
        ((1, 2), (2, "ernie-4.0-8k", ("ernie-4.0-8k", 2))),
    ],
)
def test_model_of_both_goes_by_the_credentials_and_rather_to_version_2(versions, found):
    assert asked(None, "ERNIE-4.0-8K", versions=versions) == found


def test_model_of_both_without_credentials_says_what_is_missing_for_each():
    with pytest.raises(
        SettingsError, match=r"^There are no credentials, and both versions"
    ) as caught:
        CATALOGUE.resolve(None, "ERNIE-4.0-8K", "chat", ())
    words = ("QIANFAN_AK", "QIANFAN_SK", "QIANFAN_BEARER_TOKEN", "QIANFAN_ACCESS_KEY")
    assert [word for word in words if word not in caught.value.hint] == []


def test_name_of_a_preset_address_is_of_version_1():
    assert asked(None, "completions_pro")[0] == 1


@pytest.mark.parametrize("versions", [(2,), (1, 2)])
@pytest.mark.parametrize("model", ["gpt-4", "Qwen/Qwen3-8B", "a.b:c_d", "模型-1", "kimi-k2.5"])
def test_model_without_a_card_is_asked_as_it_is_typed(model, versions):
    assert asked(None, model, versions=versions) == (2, model, None)


@pytest.mark.parametrize("versions", [(), (1,)])
def test_model_without_a_card_needs_credentials_of_version_2(versions):
    assert "unknown which version" in refusal(None, "gpt-4", versions=versions)


@pytest.mark.parametrize("model", ["", " ", "a b", "a\n", "../x", "-m", "a?b", "a\x00", 5, None])
@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_what_is_no_name_of_a_model_is_refused(model, kind):
    words = "No service is named" if model is None else "is not one name"
    assert words in refusal(None, model, kind)


@pytest.mark.parametrize("versions", OPEN)
def test_endpoint_beside_a_model_of_both_has_the_card_of_version_1(versions):
    assert asked("test1", "ernie-4.0-8k", versions=versions) == (1, "test1", ("ERNIE-4.0-8K", 1))


@pytest.mark.parametrize("versions", OPEN)
def test_endpoint_beside_a_model_of_version_2_is_refused(versions):
    words = refusal("test1", "ernie-5.1", versions=versions)
    assert "-e test1 is a service of version 1 of the API, and ernie-5.1 a model" in words


@pytest.mark.parametrize("versions", OPEN)
def test_endpoint_beside_a_model_without_a_card_is_refused(versions):
    assert "The catalogue has no model 'gpt-4'" in refusal("test1", "gpt-4", versions=versions)


@pytest.mark.parametrize("versions", OPEN)
def test_chat_model_of_version_2_completes_nothing(versions):
    words = refusal(None, "ernie-5.1", "completion", versions)
    assert ("ernie-5.1 is a chat model" in words, "%%qianfan_chat" in words) == (True, True)


@pytest.mark.parametrize("kind", ["chat", "completion"])
@pytest.mark.parametrize("versions", OPEN)
def test_model_of_both_kinds_is_asked_for_either(kind, versions):
    assert asked(None, "deepseek-v3.2", kind, versions)[:2] == (2, "deepseek-v3.2")


# --- cards of others


def test_other_card_wins_over_one_of_the_same_name_and_version():
    mine = Card(name="Ernie_5.1", kinds=("chat",), version=2, model="am-1", source="yours")
    ours = Catalogue([mine])
    assert (ours.named("ernie-5.1"), len(ours.cards)) == ([mine], len(CARDS))


def test_other_card_wins_over_one_of_the_other_version_too():
    mine = Card(name="ernie-5.1", kinds=("chat",), endpoint="my_ernie")
    versions = [card.version for card in Catalogue([mine]).named("ernie-5.1")]
    assert versions == [1]


def test_model_that_goes_by_another_name_is_asked_by_it():
    mine = Card(name="mine", kinds=("chat",), version=2, model="am-abc")
    assert Catalogue([mine]).resolve(None, "Mine", "chat", (2,)).name == "am-abc"


def test_catalogues_share_no_cards():
    Catalogue([Card(name="mine", kinds=("chat",), version=2)])
    assert Catalogue().named("mine") == []


# --- what the settings name


@pytest.mark.parametrize(
    ("endpoint", "model", "versions", "chosen"),
    [
        (None, None, (1, 2), (None, None)),
        ("ep", None, (1, 2), ("ep", None)),
        ("ep", None, (2,), ("ep", None)),
        (None, "ernie-5.1", (), (None, "ernie-5.1")),
        (None, "gpt-4", (1,), (None, "gpt-4")),
        # Of version 1, or of both: the endpoint is asked, and has the model's card.
        ("ep", "Dolly-12B", (1,), ("ep", "Dolly-12B")),
        ("ep", "Dolly-12B", (1, 2), ("ep", "Dolly-12B")),
        ("ep", "ernie-4.0-8k", (1,), ("ep", "ernie-4.0-8k")),
        # Of version 2: the model is asked if it can be.
        ("ep", "ernie-5.1", (1,), ("ep", None)),
        ("ep", "ernie-5.1", (2,), (None, "ernie-5.1")),
        ("ep", "ernie-5.1", (1, 2), (None, "ernie-5.1")),
        ("ep", "ernie-5.1", (), ("ep", None)),
        ("ep", "gpt-4", (2,), (None, "gpt-4")),
        # Of the other kind.
        ("ep", "StarCoder", (1, 2), ("ep", None)),
        (None, "StarCoder", (1, 2), (None, None)),
    ],
)
def test_default_between_endpoint_and_model(endpoint, model, versions, chosen):
    assert CATALOGUE._default(endpoint, model, "chat", versions) == chosen


def test_misspelt_model_beside_an_endpoint_is_not_dropped_without_a_word():
    assert CATALOGUE._default("ep", "dolly-13b", "chat", (1,)) == ("ep", "dolly-13b")


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [("chat", ("ep", None)), ("completion", (None, "qwen3-coder-30b-a3b-instruct"))],
)
def test_default_model_of_one_kind_leaves_the_other_to_its_endpoint(kind, chosen):
    mine = Card(name="qwen3-coder-30b-a3b-instruct", kinds=("completion",), version=2)
    ours = Catalogue([mine])
    assert ours._default("ep", mine.name, kind, (1, 2)) == chosen
