"""The model cards, and which address is called by whose limits."""

import pytest

from qianfan_magic.catalogue import (
    CARDS,
    Card,
    card_of_endpoint,
    card_of_model,
    check_endpoint,
    check_length,
    find_service,
)
from qianfan_magic.errors import ParameterError

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


def named(card):
    return card and card.name


@pytest.mark.parametrize(("name", "kind", "endpoint", "characters", "tokens"), DOCUMENTED)
def test_card_says_what_the_document_says(name, kind, endpoint, characters, tokens):
    assert card_of_model(name) == Card(
        name=name, kind=kind, endpoint=endpoint, max_characters=characters, max_tokens=tokens
    )


def test_catalogue_has_no_other_cards():
    assert [card.name for card in CARDS] == [row[0] for row in DOCUMENTED]


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
        card_of_model(typed)


def test_refusal_of_an_unknown_model_lists_the_catalogue():
    with pytest.raises(ParameterError) as caught:
        card_of_model("gpt-4")
    assert "Dolly-12B" in caught.value.hint


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
    with pytest.raises(ParameterError, match=f"Ask it with {magic}."):
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


@pytest.mark.parametrize("card", [None, Card(name="x", kind="chat")], ids=["no card", "no limit"])
def test_length_without_a_known_limit_is_allowed(card):
    assert check_length(10_000_000, card) is None
