"""The wire of version 1: the answers of the models' documents, and the bodies that are sent."""

import json

import pytest

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue
from qianfan_magic.api.types import ApiVersion, Chunk, Reply, Usage
from qianfan_magic.api.wire import read_reply
from qianfan_magic.api.wire.v1 import (
    chat_body,
    check_messages,
    complete_body,
    path,
    read_chunk,
    read_usage,
)
from qianfan_magic.errors import ParameterError

# The examples of the documents of Dolly-12B, AquilaCode-multi (StarCoder's is the same) and
# StableLM-Alpha-7B, word for word.
DOLLY = {
    "id": "as-tc4zh3aqnj",
    "object": "chat.completion",
    "created": 1719048276,
    "result": (
        " Hello! It's nice to meet you. Is there something I can help you with or would you like "
        "to chat for a bit?"
    ),
    "is_truncated": False,
    "need_clear_history": False,
    "usage": {"prompt_tokens": 1, "completion_tokens": 29, "total_tokens": 30},
}
AQUILA_CODE = {
    "id": "as-rq3wwusja8",
    "object": "completion",
    "created": 1693811110,
    "result": ("# python计算数组最大值和最小值的函数\ndef max_min(a):\n return a.max(), a.min()\n"),
    "is_safe": 1,
    "usage": {"prompt_tokens": 5, "completion_tokens": 92, "total_tokens": 97},
}
DOLLY_STREAM = [
    {
        "id": "as-2m3nh3th6b",
        "object": "chat.completion",
        "created": 1702551868,
        "sentence_id": 0,
        "is_end": False,
        "is_truncated": False,
        "result": (
            " Hello! I'm happy to help you with your question. The Great Wall of China is an "
            "ancient series of fortifications built to protect the Chinese Empire from "
            "invasions by foreign enemies, particularly the nomadic tribes from the north. "
            "It stretches for over 4,000 miles, making it one of the longest structures ever "
            "built.\n\nThe Great Wall was constructed over several centuries, with the first "
            "versions being built as "
        ),
        "need_clear_history": False,
        "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5},
    },
    {
        "id": "as-2m3nh3th6b",
        "object": "chat.completion",
        "created": 1702551874,
        "sentence_id": 1,
        "is_end": False,
        "is_truncated": False,
        "result": (
            "early as the 7th century BC. It was continuously expanded and fortified over "
            "time, with the most famous and well-preserved sections being built during the "
            "Ming Dynasty (1368-1644).\n\nThe Great Wall is not only an engineering marvel "
            "but also a testament to the ingenuity and determination of the Chinese people. "
            "It's a popular tourist destination, with many visitors each year walking or "
            "hiking along its historic paths.\n\nIt's important to "
        ),
        "need_clear_history": False,
        "usage": {"prompt_tokens": 5, "completion_tokens": 0, "total_tokens": 5},
    },
    {
        "id": "as-2m3nh3th6b",
        "object": "chat.completion",
        "created": 1702551880,
        "sentence_id": 2,
        "is_end": True,
        "is_truncated": False,
        "result": (
            "note that while the Great Wall is an incredible feat of engineering and "
            "history, it's not without controversy. Some sections of the wall have been "
            "damaged or destroyed over time, and there are concerns about the impact of "
            "tourism on the structure's preservation. Additionally, it's important to "
            "recognize the cultural and historical context of the wall, and to be respectful "
            "of the communities and traditions that it represents."
        ),
        "need_clear_history": False,
        "usage": {"prompt_tokens": 5, "completion_tokens": 276, "total_tokens": 281},
    },
]
STABLELM_STREAM = [
    {
        "id": "as-9092ws9jgh",
        "object": "completion",
        "created": 1693811126,
        "sentence_id": 0,
        "is_end": False,
        "result": (
            ", China.\nBeijing is the capital city of China and is located in the northern "
            "part of the country. It is the largest city in China and is known for its "
            "modern architecture, cultural heritage, and historical significance. The city "
            "is home to many famous landmarks, such as the Forbidden City, Tiananmen Square"
        ),
        "is_safe": 1,
        "usage": {"prompt_tokens": 5, "completion_tokens": 67, "total_tokens": 72},
    },
    {
        "id": "as-9092ws9jgh",
        "object": "completion",
        "created": 1693811128,
        "sentence_id": 1,
        "is_end": True,
        "result": (
            ", and the Great Wall of China. It is also known for its vibrant nightlife, "
            "delicious food, and stunning scenery."
        ),
        "is_safe": 1,
        "usage": {"prompt_tokens": 5, "completion_tokens": 24, "total_tokens": 96},
    },
]


def chunks(payloads):
    """Read the payloads of a stream one after the other, as the client does."""
    found = []
    for payload in payloads:
        found.append(read_chunk(payload, found[-1] if found else None))
    return found


def reply(*payloads):
    return read_reply(chunks(payloads), ApiVersion.V1)


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def refusal(messages):
    with pytest.raises(ParameterError) as caught:
        check_messages(messages)
    return str(caught.value)


def test_answer_of_dolly_is_read_field_for_field():
    assert reply(DOLLY) == Reply(
        text=DOLLY["result"],
        id="as-tc4zh3aqnj",
        usage=Usage(1, 29, 30),
        is_truncated=False,
        need_clear_history=False,
        ban_round=None,
        is_safe=None,
        finish_reason="",
        raw=DOLLY,
    )


def test_answer_of_aquila_code_is_read_field_for_field():
    assert reply(AQUILA_CODE) == Reply(
        text="# python计算数组最大值和最小值的函数\ndef max_min(a):\n return a.max(), a.min()\n",
        id="as-rq3wwusja8",
        usage=Usage(5, 92, 97),
        is_safe=True,
        raw=AQUILA_CODE,
    )


def test_stream_of_dolly_is_read_field_for_field():
    assert reply(*DOLLY_STREAM) == Reply(
        text=DOLLY_STREAM[0]["result"] + DOLLY_STREAM[1]["result"] + DOLLY_STREAM[2]["result"],
        id="as-2m3nh3th6b",
        usage=Usage(5, 276, 281),
        raw=DOLLY_STREAM[2],
    )


def test_stream_of_stablelm_is_read_field_for_field():
    assert reply(*STABLELM_STREAM) == Reply(
        text=STABLELM_STREAM[0]["result"] + STABLELM_STREAM[1]["result"],
        id="as-9092ws9jgh",
        usage=Usage(5, 91, 96),
        is_safe=True,
        raw=STABLELM_STREAM[1],
    )


@pytest.mark.parametrize(
    ("stream", "ends"),
    [(DOLLY_STREAM, [False, False, True]), (STABLELM_STREAM, [False, True])],
)
def test_only_the_last_chunk_is_the_end(stream, ends):
    assert [chunk.is_end for chunk in chunks(stream)] == ends


@pytest.mark.parametrize("stream", [DOLLY_STREAM, STABLELM_STREAM])
def test_chunk_is_what_is_new(stream):
    assert [chunk.text for chunk in chunks(stream)] == [payload["result"] for payload in stream]


def test_usage_of_dolly_jumps_at_the_end():
    found = [chunk.usage for chunk in chunks(DOLLY_STREAM)]
    assert found == [Usage(5, 0, 5), Usage(5, 0, 5), Usage(5, 276, 281)]


def test_usage_of_stablelm_adds_up():
    found = [chunk.usage for chunk in chunks(STABLELM_STREAM)]
    assert found == [Usage(5, 67, 72), Usage(5, 91, 96)]


def test_first_prompt_tokens_count():
    before = read_usage({"usage": {"prompt_tokens": 5, "total_tokens": 5}})
    after = read_usage({"usage": {"prompt_tokens": 9, "total_tokens": 12}}, before)
    assert after == Usage(5, 7, 12)


def test_usage_that_is_only_in_the_last_chunk_counts():
    found = chunks([{"result": "a"}, {"result": "b", "usage": AQUILA_CODE["usage"]}])
    assert found[-1].usage == Usage(5, 92, 97)


def test_chunk_without_usage_keeps_that_before():
    found = chunks([STABLELM_STREAM[0], {"result": "", "is_end": True}])
    assert found[-1].usage == Usage(5, 67, 72)


def test_usage_without_a_total_is_the_sum():
    found = read_usage({"usage": {"prompt_tokens": 5, "completion_tokens": 92}})
    assert found == Usage(5, 92, 97)


@pytest.mark.parametrize(
    "usage",
    [None, [], "many", {}, {"total_tokens": None}, {"prompt_tokens": "5"}],
)
def test_usage_that_is_none_counts_nothing(usage):
    assert read_usage({"usage": usage}) == Usage(0, 0, 0)


@pytest.mark.parametrize(
    "count", [float("nan"), float("inf"), -3, pytest.param(10**400, id="400 digits")]
)
def test_count_that_is_none_is_not_counted(count):
    assert read_usage({"usage": {"prompt_tokens": 5, "total_tokens": count}}) == Usage(5, 0, 5)


def test_chunk_keeps_the_service_s_own_json():
    assert read_chunk(DOLLY).raw is DOLLY


def test_whole_answer_is_its_own_end():
    assert read_chunk(DOLLY, whole=True).is_end


def test_empty_chunk_is_a_chunk():
    assert read_chunk({"result": "", "is_end": True}) == Chunk(
        "", is_end=True, usage=Usage(), raw={"result": "", "is_end": True}
    )


@pytest.mark.parametrize(
    "payload", [{}, {"result": None}, {"result": 5}, {"result": ["a"]}, {"choices": []}]
)
def test_payload_without_a_result_is_no_chunk(payload):
    with pytest.raises(ValueError, match="'result'"):
        read_chunk(payload)


def test_no_chunks_are_an_empty_reply():
    assert read_reply([], ApiVersion.V1) == Reply(text="")


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("flag", ["is_truncated", "need_clear_history"])
def test_flag_of_any_chunk_is_the_reply_s(flag, place):
    payloads = [{"result": "a", flag: False}, {"result": "b", flag: False}]
    payloads[place][flag] = True
    assert getattr(reply(*payloads), flag)


@pytest.mark.parametrize("ban_round", [-1, 1, 3])
def test_ban_round_is_told_with_need_clear_history(ban_round):
    payload = {"result": "", "need_clear_history": True, "ban_round": ban_round}
    assert reply(payload).ban_round == ban_round


def test_ban_round_counts_for_nothing_without_need_clear_history():
    assert reply({"result": "", "need_clear_history": False, "ban_round": 0}).ban_round is None


def test_ban_round_of_an_earlier_chunk_is_kept():
    first = {"result": "a", "need_clear_history": True, "ban_round": 2}
    assert reply(first, {"result": "b", "need_clear_history": False}).ban_round == 2


@pytest.mark.parametrize(
    ("said", "is_safe"), [(1, True), (0, False), (True, True), (False, False), (None, None)]
)
def test_is_safe_may_be_a_number_or_a_bool(said, is_safe):
    assert reply({"result": "", "is_safe": said}).is_safe is is_safe


@pytest.mark.parametrize("said", [(0, 1), (1, 0)])
def test_one_unsafe_chunk_makes_the_reply_unsafe(said):
    assert reply(*({"result": "", "is_safe": each} for each in said)).is_safe is False


@pytest.mark.parametrize(
    ("said", "reason"), [("stop", "stop"), ("normal", "normal"), ("", ""), (None, "")]
)
def test_finish_reason_is_the_service_s_word(said, reason):
    assert reply({"result": "", "finish_reason": said}).finish_reason == reason


@pytest.mark.parametrize(("said", "found"), [("as-1", "as-1"), (None, ""), (7, "7")])
def test_id_is_a_text(said, found):
    assert reply({"result": "", "id": said}).id == found


@pytest.mark.parametrize("length", [1, 3, 5])
def test_odd_number_of_alternating_messages_is_taken(length):
    messages = [assistant("b") if place % 2 else user("a") for place in range(length)]
    assert check_messages(messages) == messages


@pytest.mark.parametrize("length", [2, 4])
def test_even_number_of_messages_is_refused(length):
    messages = [assistant("b") if place % 2 else user("a") for place in range(length)]
    assert f"There are {length} messages" in refusal(messages)


@pytest.mark.parametrize("messages", [[], (), None, "hi", {}, user("hi"), 5])
def test_what_is_no_list_of_messages_is_refused(messages):
    assert "list of at least one message" in refusal(messages)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([assistant("a")], "Message 1 has the role 'assistant', but must have 'user'"),
        ([user("a"), user("b"), user("c")], "Message 2 has the role 'user'"),
        ([user("a"), assistant("b"), assistant("c")], "Message 3 has the role 'assistant'"),
        ([{"role": "system", "content": "a"}], "Message 1 has the role 'system'"),
        ([{"role": "User", "content": "a"}], "Message 1 has the role 'User'"),
        ([{"content": "a"}], "Message 1 has the role None"),
        (["hi"], "Message 1 has the role None"),
        ([None], "Message 1 has the role None"),
    ],
)
def test_role_out_of_order_is_refused_with_its_place(messages, words):
    assert words in refusal(messages)


@pytest.mark.parametrize("content", ["", " \n", None, 5, "\ud800"])
def test_bad_content_is_refused_with_its_place(content):
    messages = [user("a"), assistant(content), user("b")]
    assert "The content of message 2" in refusal(messages)


def test_picture_is_refused_with_its_place():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [user("a"), assistant("b"), user([picture])]
    assert "content of message 3 is a list" in refusal(messages)


def test_only_role_and_content_are_sent():
    assert check_messages([user("a") | {"name": "x", "id": 5}]) == [user("a")]


def test_messages_may_be_a_tuple():
    assert check_messages((user("a"),)) == [user("a")]


def test_checked_messages_are_copies():
    given = user("a")
    assert check_messages([given])[0] is not given


def test_chat_body_has_messages_and_parameters():
    body = chat_body([user("hi")], {"temperature": 0.5, "stop": ["END"], "top_p": None})
    assert body == {"messages": [user("hi")], "temperature": 0.5, "stop": ["END"]}


def test_complete_body_has_prompt_and_parameters():
    assert complete_body("def f(", {"top_k": 5}) == {"prompt": "def f(", "top_k": 5}


def test_prompt_is_sent_as_it_is():
    assert complete_body("  a\0b\n", {})["prompt"] == "  a\0b\n"


def test_max_tokens_goes_by_version_1_s_name():
    assert chat_body([user("hi")], {"max_tokens": 100})["max_output_tokens"] == 100


@pytest.mark.parametrize("build", [chat_body, complete_body])
def test_body_with_a_bad_parameter_is_refused(build):
    with pytest.raises(ParameterError, match="temperature"):
        build([user("hi")] if build is chat_body else "hi", {"temperature": 0})


@pytest.mark.parametrize("prompt", ["", " ", None, ["hi"], "\ud800"])
def test_bad_prompt_is_refused(prompt):
    with pytest.raises(ParameterError, match=r"^The prompt"):
        complete_body(prompt, {})


def test_dolly_takes_4800_characters_in_all_messages():
    messages = [user("x" * 2_000), assistant("y" * 2_000), user("字" * 800)]
    assert len(chat_body(messages, {}, Catalogue().named("Dolly-12B")[0])["messages"]) == 3


def test_dolly_takes_no_4801_characters_in_all_messages():
    messages = [user("x" * 2_000), assistant("y" * 2_000), user("字" * 801)]
    with pytest.raises(ParameterError, match="4,801"):
        chat_body(messages, {}, Catalogue().named("Dolly-12B")[0])


def test_prompt_longer_than_its_card_allows_is_refused():
    card = Card(name="x", kinds=("completion",), max_characters=3)
    with pytest.raises(ParameterError, match="4 characters"):
        complete_body("abcd", {}, card)


def test_body_can_be_written_as_json():
    body = chat_body([user("你好")], {"temperature": 1, "stop": ("a",)})
    assert json.loads(json.dumps(body)) == body


@pytest.mark.parametrize(
    ("kind", "endpoint", "end"),
    [
        ("chat", "ngxxxol8_test1", "/chat/ngxxxol8_test1"),
        ("completion", "starcoder", "/completions/starcoder"),
        ("chat", "测试", "/chat/%E6%B5%8B%E8%AF%95"),
        ("chat", "a/b c", "/chat/a%2Fb%20c"),
    ],
)
def test_path_of_a_service(kind, endpoint, end):
    assert path(kind, endpoint) == f"/rpc/2.0/ai_custom/v1/wenxinworkshop{end}"
