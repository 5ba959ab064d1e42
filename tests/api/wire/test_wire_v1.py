"""Wire format of version 1: answers of the models' documents, and the bodies of requests."""

from __future__ import annotations

import json
from itertools import product

import pytest

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.types import ApiVersion, Chunk, Reply, Usage
from qianfan_magic.api.wire import read_reply
from qianfan_magic.api.wire.v1 import (
    body,
    chat_body,
    check_messages,
    complete_body,
    is_finished,
    path,
    read_chunk,
    read_error,
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


def chunks_of(payloads):
    """Read the payloads of a stream one after the other, as the client does."""
    chunks = []
    for payload in payloads:
        chunks.append(read_chunk(payload, chunks[-1] if chunks else None))
    return chunks


def reply_of(*payloads):
    return read_reply(chunks_of(payloads), ApiVersion.V1)


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def refusal(function, *args, **options):
    """Return the message and the hint with which a call is refused."""
    with pytest.raises(ParameterError) as caught:
        pytest.fail(f"{args} was accepted as {function(*args, **options)}")
    return str(caught.value)


# --- answers


def test_whole_answer_is_read_field_for_field():
    assert reply_of(DOLLY) == Reply(
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
    assert reply_of(AQUILA_CODE) == Reply(
        text="# python计算数组最大值和最小值的函数\ndef max_min(a):\n return a.max(), a.min()\n",
        id="as-rq3wwusja8",
        usage=Usage(5, 92, 97),
        is_safe=True,
        raw=AQUILA_CODE,
    )


def test_stream_is_read_field_for_field():
    assert reply_of(*DOLLY_STREAM) == Reply(
        text=DOLLY_STREAM[0]["result"] + DOLLY_STREAM[1]["result"] + DOLLY_STREAM[2]["result"],
        id="as-2m3nh3th6b",
        usage=Usage(5, 276, 281),
        raw=DOLLY_STREAM[2],
    )
    assert reply_of(*STABLELM_STREAM) == Reply(
        text=STABLELM_STREAM[0]["result"] + STABLELM_STREAM[1]["result"],
        id="as-9092ws9jgh",
        usage=Usage(5, 91, 96),
        is_safe=True,
        raw=STABLELM_STREAM[1],
    )


def test_chunk_has_the_new_text_and_only_the_last_is_the_end():
    for stream, ends in ((DOLLY_STREAM, [False, False, True]), (STABLELM_STREAM, [False, True])):
        chunks = chunks_of(stream)
        assert [chunk.text for chunk in chunks] == [payload["result"] for payload in stream]
        assert [chunk.is_end for chunk in chunks] == ends
    end = {"result": "", "is_end": True}
    assert read_chunk(end) == Chunk("", is_end=True, usage=Usage(), raw=end)


def test_whole_answer_is_its_own_end():
    chunk = read_chunk(DOLLY, whole=True)
    assert chunk.is_end
    assert chunk.raw is DOLLY
    assert not read_chunk(DOLLY).is_end


def test_answer_is_not_finished_before_its_stream():
    for payload in (DOLLY_STREAM[2], {"result": "", "finish_reason": "stop"}):
        assert not is_finished(payload, before=False)


def test_payload_without_a_result_is_not_a_chunk():
    for payload in ({}, {"result": None}, {"result": 5}, {"result": ["a"]}, {"choices": []}):
        with pytest.raises(ValueError, match=r"^it has no text under 'result'$"):
            pytest.fail(f"{payload} was read as {read_chunk(payload)}")


def test_reply_without_chunks_is_empty():
    assert read_reply([], ApiVersion.V1) == Reply(text="")


# --- usage


def test_usage_of_each_documented_stream_is_the_total_so_far():
    """Dolly-12B counts the answer in the last chunk only, StableLM-Alpha-7B each chunk alone."""
    dolly = [chunk.usage for chunk in chunks_of(DOLLY_STREAM)]
    assert dolly == [Usage(5, 0, 5), Usage(5, 0, 5), Usage(5, 276, 281)]
    stablelm = [chunk.usage for chunk in chunks_of(STABLELM_STREAM)]
    assert stablelm == [Usage(5, 67, 72), Usage(5, 91, 96)]


def test_first_prompt_tokens_and_last_total_take_precedence():
    before = read_usage({"usage": {"prompt_tokens": 5, "total_tokens": 5}})
    after = read_usage({"usage": {"prompt_tokens": 9, "total_tokens": 12}}, before)
    assert after == Usage(5, 7, 12)


def test_usage_may_be_in_any_chunk():
    late = chunks_of([{"result": "a"}, {"result": "b", "usage": AQUILA_CODE["usage"]}])
    assert [chunk.usage for chunk in late] == [Usage(), Usage(5, 92, 97)]
    early = chunks_of([STABLELM_STREAM[0], {"result": "", "is_end": True}])
    assert [chunk.usage for chunk in early] == [Usage(5, 67, 72)] * 2


def test_missing_total_is_the_sum_or_that_of_the_chunk_before():
    counts = {"prompt_tokens": 5, "completion_tokens": 92}
    assert read_usage({"usage": counts}) == Usage(5, 92, 97)
    assert read_usage({"usage": counts}, Usage(5, 20, 25)) == Usage(5, 92, 97)
    assert read_usage({"usage": counts}, Usage(5, 115, 120)) == Usage(5, 115, 120)


def test_missing_or_invalid_usage_counts_as_zero():
    for usage in (None, [], "many", {}, {"total_tokens": None}, {"prompt_tokens": "5"}):
        assert read_usage({"usage": usage}) == Usage(0, 0, 0), usage
    for count in (float("nan"), float("inf"), -3, 10**400):
        found = read_usage({"usage": {"prompt_tokens": 5, "total_tokens": count}})
        assert found == Usage(5, 0, 5), type(count)
    assert read_usage({"usage": {"prompt_tokens": 5, "total_tokens": 3}}) == Usage(5, 0, 3)


# --- flags


def test_flag_of_any_chunk_is_the_reply_s():
    for flag, place in product(("is_truncated", "need_clear_history"), (0, 1)):
        payloads = [{"result": "a", flag: False}, {"result": "b", flag: False}]
        assert getattr(reply_of(*payloads), flag) is False, flag
        payloads[place][flag] = True
        assert getattr(reply_of(*payloads), flag) is True, (flag, place)


def test_ban_round_accompanies_need_clear_history():
    for ban_round in (-1, 1, 3):
        payload = {"result": "", "need_clear_history": True, "ban_round": ban_round}
        assert reply_of(payload).ban_round == ban_round
        assert reply_of(payload, {"result": "", "need_clear_history": False}).ban_round == ban_round
    ignored = {"result": "", "need_clear_history": False, "ban_round": 0}
    assert reply_of(ignored).ban_round is None


def test_is_safe_may_be_a_number_a_bool_or_text():
    for sent, is_safe in (
        (1, True),
        (0, False),
        (True, True),
        (False, False),
        ("1", True),
        ("0", False),
        ("true", True),
        ("false", False),
        (None, None),
    ):
        assert reply_of({"result": "", "is_safe": sent}).is_safe is is_safe, sent


def test_one_unsafe_chunk_makes_the_reply_unsafe():
    for values in ((0, 1), (1, 0)):
        payloads = ({"result": "", "is_safe": value} for value in values)
        assert reply_of(*payloads).is_safe is False, values


def test_finish_reason_and_id_are_those_of_the_service():
    for sent, reason in (("stop", "stop"), ("normal", "normal"), ("", ""), (None, ""), (7, "")):
        assert reply_of({"result": "", "finish_reason": sent}).finish_reason == reason
    for sent, text in (("as-1", "as-1"), (None, ""), (7, "7")):
        assert reply_of({"result": "", "id": sent}).id == text


# --- errors


def test_error_has_a_code_and_a_message():
    for payload, error in (
        ({"error_code": 110, "error_msg": "Access token invalid"}, (110, "Access token invalid")),
        ({"error_code": "18", "error_msg": 5}, (18, "5")),
        ({"error_code": 18}, (18, "")),
        ({"error_code": "--5", "error_msg": "m"}, (0, "m")),
        ({"error_code": [1], "error_msg": None}, (0, "None")),
        ({"error_code": float("inf"), "error_msg": "m"}, (0, "m")),
    ):
        assert read_error(payload) == error, payload
    for answer in ({}, {"error_code": 0}, {"error_code": None}, {"error_msg": "m"}, DOLLY):
        assert read_error(answer) is None, answer


# --- messages


def test_number_of_messages_must_be_odd():
    talk = [user("a"), assistant("b")] * 3
    for length in (1, 3, 5):
        assert check_messages(talk[:length]) == talk[:length]
    for length in (2, 4):
        assert refusal(check_messages, talk[:length]) == (
            f"There are {length} messages, but their number must be odd\n"
            "The last message is the user's question."
        )


def test_messages_must_be_a_list_of_at_least_one():
    for messages in ([], (), None, "hi", {}, user("hi"), 5):
        assert "list of at least one message" in refusal(check_messages, messages), messages
    assert check_messages((user("a"),)) == [user("a")]


def test_role_out_of_order_is_refused_with_its_place():
    for messages, number, role, expected in (
        ([assistant("a")], 1, "assistant", "user"),
        ([user("a"), user("b"), user("c")], 2, "user", "assistant"),
        ([user("a"), assistant("b"), assistant("c")], 3, "assistant", "user"),
        ([{"role": "system", "content": "a"}], 1, "system", "user"),
        ([{"role": "User", "content": "a"}], 1, "User", "user"),
        ([{"content": "a"}], 1, None, "user"),
        (["hi"], 1, None, "user"),
        ([None], 1, None, "user"),
    ):
        assert refusal(check_messages, messages) == (
            f"Message {number} has the role {role!r}, but must have {expected!r}\n"
            "Roles alternate user, assistant, user, …"
        )


def test_invalid_content_is_refused_with_its_place():
    for content in ("", " \n", None, 5, "\ud800"):
        messages = [user("a"), assistant(content), user("b")]
        message = refusal(check_messages, messages)
        assert message.startswith("The content of message 2 "), ascii(content)


def test_beginning_of_the_answer_is_refused():
    message = refusal(check_messages, [user("a"), assistant("b") | {"prefix": True}])
    assert message.startswith("Version 1 of the API does not go on from the beginning")


def test_picture_is_refused_with_its_place():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert refusal(check_messages, [user("a"), assistant("b"), user([picture])]) == (
        "The content of message 3 is a list, and version 1 of the API takes text alone\n"
        "For pictures use a model of version 2 that sees: %qianfan models lists them."
    )


def test_checked_messages_are_copies_with_only_role_and_content():
    message = user("a") | {"name": "x", "id": 5}
    assert check_messages([message]) == [user("a")]
    message = user("a")
    assert check_messages([message])[0] is not message


# --- bodies


def test_body_has_content_and_parameters():
    parameters = {"temperature": 0.5, "stop": ["END"], "top_p": None}
    chat = chat_body([user("hi")], parameters)
    assert list(chat.items()) == [
        ("messages", [user("hi")]),
        ("temperature", 0.5),
        ("stop", ["END"]),
    ]
    assert complete_body("def f(", {"top_k": 5}) == {"prompt": "def f(", "top_k": 5}
    assert complete_body("  a\0b\n", {})["prompt"] == "  a\0b\n"
    assert chat_body([user("hi")], {"max_tokens": 100})["max_output_tokens"] == 100


def test_body_can_be_encoded_as_json():
    chat = chat_body([user("你好")], {"temperature": 1, "stop": ("a",)})
    assert json.loads(json.dumps(chat)) == chat


def test_only_the_body_of_a_stream_requests_streaming():
    dolly = Service("dolly", version=1, card=Catalogue().named("Dolly-12B")[0])
    for kind, content in (("chat", [user("hi")]), ("completion", "hi")):
        complete = body(kind, dolly, content, {"top_k": 5}, stream=False)
        assert complete["top_k"] == 5, kind
        assert "stream" not in complete, kind
        assert body(kind, dolly, content, {"top_k": 5}, stream=True) == complete | {"stream": True}
    assert "4,801" in refusal(body, "chat", dolly, [user("x" * 4_801)], {}, stream=False)
    assert "4,801" in refusal(body, "completion", dolly, "x" * 4_801, {}, stream=False)


def test_invalid_parameter_or_prompt_is_refused():
    for build, content in ((chat_body, [user("hi")]), (complete_body, "hi")):
        assert "temperature" in refusal(build, content, {"temperature": 0})
    for prompt in ("", " ", None, ["hi"], "\ud800"):
        assert refusal(complete_body, prompt, {}).startswith("The prompt "), ascii(prompt)


def test_length_limit_of_the_card_includes_all_messages():
    dolly = Catalogue().named("Dolly-12B")[0]
    first = [user("x" * 2_000), assistant("y" * 2_000)]
    assert len(chat_body([*first, user("字" * 800)], {}, dolly)["messages"]) == 3
    assert "4,801" in refusal(chat_body, [*first, user("字" * 801)], {}, dolly)
    card = Card(name="x", kinds=("completion",), max_characters=3)
    assert complete_body("abc", {}, card)
    assert "4 characters" in refusal(complete_body, "abcd", {}, card)


# --- calls of functions


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def test_tools_become_functions_of_which_one_may_be_demanded():
    f, g = tool("f"), tool("g")
    both, named = [f["function"], g["function"]], {"type": "function", "function": {"name": "f"}}
    for parameters, fields in (
        ({}, {}),
        ({"tools": [], "tool_choice": "auto"}, {}),
        ({"tools": [f, g]}, {"functions": both}),
        ({"tools": [f, g], "tool_choice": "auto"}, {"functions": both}),
        ({"tools": [f, g], "tool_choice": "none"}, {}),
        ({"tools": [f, g], "tool_choice": named}, {"functions": both, "tool_choice": named}),
        ({"tools": [f], "tool_choice": "required"}, {"functions": both[:1], "tool_choice": named}),
    ):
        sent = chat_body([user("hi")], parameters | {"top_k": 5})
        assert sent == {"messages": [user("hi")], "top_k": 5} | fields, parameters
    assert refusal(chat_body, [user("hi")], {"tools": [f, g], "tool_choice": "required"}) == (
        "Version 1 of the API cannot demand a call of any of several functions\n"
        "Name the function: --tool-choice NAME."
    )


def test_each_call_and_its_result_become_a_pair_of_messages():
    first, second = ({"name": name, "arguments": "{}"} for name in "fg")
    calls = [{"id": "a", "function": first}, {"id": "b", "function": second}]
    result = {"role": "tool", "tool_call_id": "a", "content": "5"}
    other = {"role": "tool", "tool_call_id": "b", "content": "6"}
    for text, content in (("Wait.", "Wait."), ("", None), (None, None)):
        asking = assistant(text) | {"tool_calls": calls}
        messages = [user("hi"), asking, other, result, assistant("11"), user("a")]
        expected = [
            user("hi"),
            assistant(content) | {"function_call": second},
            {"role": "function", "name": "g", "content": "6"},
            assistant(None) | {"function_call": first},
            {"role": "function", "name": "f", "content": "5"},
            assistant("11"),
            user("a"),
        ]
        assert check_messages(messages) == expected, text
        assert check_messages(expected) == expected, text
        characters = sum(len(message["content"] or "") for message in expected)
        card = Card(name="x", kinds=("chat",), max_characters=characters)
        assert chat_body(messages, {}, card)["messages"] == expected


def test_result_without_its_call_is_refused_with_its_place():
    result = {"role": "tool", "tool_call_id": "a", "content": "5"}
    asking = assistant("") | {"tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    for messages, number in (([user("hi"), asking, result, result], 4), ([result], 1)):
        assert f"Message {number} has the role 'tool'" in refusal(check_messages, messages)


def test_call_of_a_function_is_read_whole():
    call = {"name": "f", "arguments": "{}"}
    payload = {"result": "", "function_call": call}
    for payloads in ([payload], [payload, dict(payload)]):
        (found,) = reply_of(*payloads).tool_calls
        assert found["function"] == call
    for other in (None, "f", [call]):
        assert reply_of({"result": "", "function_call": other}).tool_calls == ()


def test_path_names_the_endpoint_percent_encoded():
    for kind, endpoint, end in (
        ("chat", "ngxxxol8_test1", "/chat/ngxxxol8_test1"),
        ("completion", "starcoder", "/completions/starcoder"),
        ("chat", "测试", "/chat/%E6%B5%8B%E8%AF%95"),
        ("chat", "a/b c", "/chat/a%2Fb%20c"),
    ):
        assert path(kind, endpoint) == f"/rpc/2.0/ai_custom/v1/wenxinworkshop{end}"
