"""Wire format of version 2: documented and recorded answers, and the bodies of requests."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.types import DONE, ApiVersion, Chunk, Reply, Usage
from qianfan_magic.api.wire import read_reply
from qianfan_magic.api.wire.v2 import (
    body,
    check_messages,
    is_finished,
    path,
    read_chunk,
    read_error,
    read_metadata,
    read_models,
    read_usage,
)
from qianfan_magic.errors import ParameterError

# The example of the document, and a recorded stream of qwen3-32b (2026-06), word for word.
WHOLE = {
    "id": "as-qsp8w7ppnv",
    "object": "chat.completion",
    "created": 1755938117,
    "model": "deepseek-v3.1-250821",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "你好！很高兴见到你。"},
            "finish_reason": "stop",
            "flag": 0,
        }
    ],
    "usage": {"prompt_tokens": 11, "completion_tokens": 15, "total_tokens": 26},
}


def frame(delta, **more):
    choice = {"index": 0, "delta": delta, "flag": 0}
    usage = {"usage": more.pop("usage")} if "usage" in more else {}
    head = {"id": "as-1", "object": "chat.completion.chunk", "created": 1782475415}
    return head | {"model": "qwen3-32b", "choices": [choice | more]} | usage


STREAM = [
    frame({"content": "", "role": "assistant"}),
    frame({"content": None, "reasoning_content": "好的"}),
    frame({"content": None, "reasoning_content": "，打个招呼。"}, finish_reason=None),
    frame({"content": "你"}, usage=None),
    frame({"content": "好"}),
    frame(
        {"content": ""},
        finish_reason="stop",
        usage={
            "prompt_tokens": 17,
            "completion_tokens": 253,
            "total_tokens": 270,
            "completion_tokens_details": {"reasoning_tokens": 245},
        },
    ),
    DONE,
]
# As the document describes a completion; it shows no example.
COMPLETION = {
    "id": "as-2",
    "object": "text_completion",
    "created": 1755938117,
    "model": "qwen3-coder-480b-a35b-instruct",
    "choices": [{"index": 0, "text": "    return a + b\n", "finish_reason": "stop", "flag": 0}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 6, "total_tokens": 15},
}
COMPLETION_STREAM = [
    {"id": "as-3", "object": "text_completion", "choices": [{"index": 0, "text": "    return"}]},
    {
        "id": "as-3",
        "object": "text_completion",
        "choices": [{"index": 0, "text": " a\n", "finish_reason": "length"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    },
    DONE,
]


def chunks_of(payloads):
    """Read the payloads of a stream one after the other, as the client does."""
    chunks = []
    for payload in payloads:
        chunks.append(read_chunk(payload, chunks[-1] if chunks else None))
    return chunks


def reply_of(*payloads):
    return read_reply(chunks_of(payloads), ApiVersion.V2)


def whole(payload):
    return read_reply([read_chunk(payload, whole=True)], ApiVersion.V2)


def choice(**fields):
    return {"id": "as-4", "choices": [{"index": 0, "message": {"content": "x"}} | fields]}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def picture(url="data:image/png;base64,AAAA"):
    return {"type": "image_url", "image_url": {"url": url}}


def text(content):
    return {"type": "text", "text": content}


def service(model):
    return Catalogue().resolve(None, model, "chat", (2,))


def chat(messages, parameters=None, *, model="ernie-5.1", stream=False):
    return body("chat", service(model), messages, parameters or {}, stream=stream)


def refusal(function, *args, **options):
    """Return the message and the hint with which a call is refused."""
    with pytest.raises(ParameterError) as caught:
        pytest.fail(f"{args} was accepted as {function(*args, **options)}")
    return str(caught.value)


# --- whole answers


def test_whole_answer_is_read_field_for_field():
    chat = Reply(
        text="你好！很高兴见到你。",
        id="as-qsp8w7ppnv",
        usage=Usage(11, 15, 26),
        finish_reason="stop",
        raw=WHOLE,
    )
    completion = Reply(
        text="    return a + b\n",
        id="as-2",
        usage=Usage(9, 6, 15),
        finish_reason="stop",
        raw=COMPLETION,
    )
    assert whole(WHOLE) == chat
    assert whole(COMPLETION) == completion
    assert read_chunk(WHOLE, whole=True).is_end


def test_whole_answer_has_its_reasoning():
    for fields, reasoning in (
        ({"reasoning_content": "2 + 2"}, "2 + 2"),
        ({"reasoning": "2 + 2"}, "2 + 2"),
        ({"reasoning": {"effort": "low"}}, ""),
    ):
        reply = whole(choice(message={"content": "4"} | fields))
        assert (reply.reasoning, reply.text) == (reasoning, "4"), fields


def test_answer_that_calls_tools_has_no_text():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for content in ("", None):
        message = {"role": "assistant", "content": content, "tool_calls": [call]}
        reply = whole(choice(message=message, finish_reason="tool_calls"))
        assert reply.text == "", content
        assert reply.finish_reason == "tool_calls"
        assert reply.tool_calls == (call,), content


# --- streams


def test_calls_that_are_no_list_are_ignored():
    for calls in (5, "c", {"id": "c"}, None):
        assert reply_of(frame({"tool_calls": calls})).tool_calls == (), calls


def test_call_in_the_last_chunk_is_not_repeated_by_done():
    pieces = [
        {"index": 0, "id": "c", "function": {"name": "f", "arguments": part}} for part in ("{", "}")
    ]
    (call,) = reply_of(*(frame({"tool_calls": [piece]}) for piece in pieces), DONE).tool_calls
    assert call["function"] == {"name": "f", "arguments": "{}"}


def test_stream_is_read_field_for_field():
    assert reply_of(*STREAM) == Reply(
        text="你好",
        reasoning="好的，打个招呼。",
        id="as-1",
        usage=Usage(17, 253, 270, reasoning_tokens=245),
        finish_reason="stop",
        raw=STREAM[-2],
    )
    assert reply_of(*COMPLETION_STREAM) == Reply(
        text="    return a\n",
        id="as-3",
        usage=Usage(9, 4, 13),
        finish_reason="length",
        is_truncated=True,
        raw=COMPLETION_STREAM[1],
    )


def test_chunk_has_only_what_is_new():
    chunks = chunks_of(STREAM)
    assert [chunk.text for chunk in chunks] == ["", "", "", "你", "好", "", ""]
    assert [chunk.reasoning for chunk in chunks] == ["", "好的", "，打个招呼。", "", "", "", ""]
    assert [chunk.usage for chunk in chunks] == [Usage()] * 5 + [
        Usage(17, 253, 270, reasoning_tokens=245)
    ] * 2
    assert chunks[0].raw is STREAM[0]
    assert chunks[-1].raw is STREAM[-2]


def test_only_done_is_the_end():
    for stream in (STREAM, COMPLETION_STREAM):
        ends = [chunk.is_end for chunk in chunks_of(stream)]
        assert ends == [False] * (len(stream) - 1) + [True], stream


def test_running_usage_is_replaced_and_not_added():
    first = frame({"content": "a"}, usage={"prompt_tokens": 5, "total_tokens": 6})
    last = frame({"content": "b"}, usage={"prompt_tokens": 5, "total_tokens": 9})
    assert [chunk.usage.total_tokens for chunk in chunks_of([first, last])] == [6, 9]


def test_chunk_without_choices_may_have_the_usage():
    """OpenAI's servers send it like this, and so may the model of a third party."""
    stop = frame({"content": "a"}, finish_reason="stop")
    last = {"id": "as-1", "choices": []}
    assert read_chunk(last) == Chunk("", is_end=False, usage=Usage(), raw=last)
    assert read_metadata(last) == {}
    reply = reply_of(stop, last | {"usage": WHOLE["usage"]}, DONE)
    assert reply.text == "a"
    assert reply.usage == Usage(11, 15, 26)
    assert reply_of(stop, last, DONE).finish_reason == "stop"


def test_message_that_repeats_what_came_in_pieces_adds_nothing():
    pieces, whole_ones = ([frame({"content": part}) for part in "ab"], [choice(), choice()])
    assert reply_of(*pieces, choice(message={"content": "ab"}), DONE).text == "ab"
    assert reply_of(*whole_ones, DONE).text == "xx"


def test_done_alone_is_an_empty_end():
    assert read_chunk(DONE) == Chunk("", is_end=True, usage=Usage(), raw=DONE)
    assert reply_of(DONE) == Reply(text="")


def test_frame_without_text_is_a_chunk():
    for delta in ({}, None, {"role": "assistant"}, {"content": None}):
        assert read_chunk(frame(delta)).text == "", delta


def test_completion_in_the_shape_of_a_chat_is_read():
    """The document's copies are cut off where the stream's field would be named."""
    assert read_chunk(frame({"content": "x"}) | {"object": "text_completion"}).text == "x"


# --- flags


def test_finish_reason_is_the_service_s_word_and_only_length_means_truncated():
    for sent, reason, truncated in (
        ("length", "length", True),
        ("stop", "stop", False),
        ("tool_calls", "tool_calls", False),
        ("", "", False),
        (None, "", False),
    ):
        reply = whole(choice(finish_reason=sent))
        assert reply.finish_reason == reason
        assert reply.is_truncated is truncated, sent


def test_flag_means_unsafe_and_from_2_also_to_clear_the_history():
    for flag, is_safe, clear in (
        (0, None, False),
        (None, None, False),
        (1, False, False),
        (2, False, True),
        (3, False, True),
        (4, False, True),
    ):
        reply = whole(choice(flag=flag))
        assert reply.is_safe is is_safe, flag
        assert reply.need_clear_history is clear, flag
    assert whole(choice(finish_reason="content_filter")).is_safe is False


def test_ban_round_is_a_number_that_accompanies_a_flag_to_clear_the_history():
    for flag, sent, ban_round in (
        (2, -1, -1),
        (2, 0, 0),
        (2, 1, 1),
        (2, 3, 3),
        (2, 1_000_000, 1_000_000),
        (2, 1_000_001, None),
        (2, -2, None),
        (0, 0, None),
        (1, 0, None),
        (3, "-1", None),
        (3, None, None),
        (3, 1.5, None),
        (3, [1], None),
    ):
        assert whole(choice(flag=flag, ban_round=sent)).ban_round == ban_round, (flag, sent)


def test_need_clear_history_may_be_outside_the_choice():
    reply = whole(choice() | {"need_clear_history": True, "ban_round": 2})
    assert reply.need_clear_history is True
    assert reply.ban_round == 2
    both = whole(choice(flag=2, ban_round=1) | {"ban_round": 5})
    assert both.ban_round == 1


def test_flag_of_any_chunk_is_the_reply_s():
    for place in (0, 1):
        frames = [frame({"content": "a"}), frame({"content": "b"})]
        frames[place]["choices"][0] |= {"flag": 4, "ban_round": -1}
        reply = reply_of(*frames, DONE)
        assert reply.is_safe is False, place
        assert reply.need_clear_history is True, place
        assert reply.ban_round == -1, place


def test_id_becomes_text():
    for sent, text in (("as-1", "as-1"), (None, ""), (7, "7")):
        assert whole(choice() | {"id": sent}).id == text


def test_message_that_is_passed_over_after_the_pieces_changes_nothing():
    pieces = read_chunk({"choices": [{"delta": {"content": "a"}}]})
    for message in ([1], "a", {"content": 5}):
        payload = {"choices": [{"message": message}]}
        assert read_chunk(payload, pieces).text == ""
        assert is_finished(payload, True), message  # noqa: FBT003  as `Grace` calls it
        assert not is_finished(payload, False), message  # noqa: FBT003


# --- usage


def test_missing_or_invalid_usage_counts_as_zero():
    for usage in (None, [], "many", {}, {"total_tokens": None}, {"x": 5}):
        assert read_usage({"usage": usage}) == Usage(0, 0, 0), usage
    assert read_usage({}) == Usage(0, 0, 0)
    for count in (-3, None, "5", [5], True, 1e400, 2**53 - 1, 10**400):
        found = read_usage({"usage": {"prompt_tokens": 5, "total_tokens": count}})
        assert found == Usage(5, 0, 0), type(count)


# --- payloads that are not answers


def test_payload_without_choices_is_not_a_chunk():
    for payload in ({}, {"choices": None}, {"choices": {}}, {"choices": "a"}, {"result": "v1"}):
        with pytest.raises(ValueError, match=r"^it has no list under 'choices'$"):
            pytest.fail(f"{payload} was read as {read_chunk(payload)}")


def test_choice_without_text_is_not_a_chunk():
    for invalid in (
        None,
        "a",
        5,
        [],
        {"delta": "a"},
        {"delta": ["a"]},
        {"delta": {"content": 5}},
        {"delta": {"content": ["a"]}},
        {"delta": {"reasoning_content": True}},
        {"message": 1.5},
        {"text": {"a": 1}},
    ):
        with pytest.raises(ValueError, match=r"^its choice has no text$"):
            pytest.fail(f"{invalid} was read as {read_chunk({'choices': [invalid]})}")


NAMES = ["delta", "message", "content", "reasoning_content", "text", "finish_reason", "flag"]
NAMES += ["ban_round", "index", "usage", "total_tokens", "need_clear_history"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["stop", "length"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
CHOICES = JSON | st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES[:8], JSON)), max_size=2
)


@given(CHOICES, JSON, JSON)
def test_arbitrary_json_is_an_answer_or_a_value_error(choices, usage, value):
    payload = {"choices": choices, "usage": usage, "id": value, "need_clear_history": value}
    for is_whole in (True, False):
        try:
            reply = read_reply([read_chunk(payload, whole=is_whole)], ApiVersion.V2)
        except ValueError:
            continue
        assert isinstance(reply.text + reply.reasoning + reply.id + reply.finish_reason, str)
        usage = reply.usage
        for count in (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens):
            assert isinstance(count, int)
            assert count >= 0
        assert reply.ban_round is None or isinstance(reply.ban_round, int)


# --- errors


def test_error_has_a_code_and_a_message():
    recorded = {
        "error": {
            "code": "rpm_rate_limit_exceeded",
            "message": "Rate limit reached for RPM",
            "type": "rate_limit_exceeded",
        },
        "id": "as-wbx23eriqh",
    }
    for payload, error in (
        (recorded, ("rpm_rate_limit_exceeded", "Rate limit reached for RPM")),
        ({"error": {"type": "access_denied", "message": "m"}}, ("access_denied", "m")),
        ({"error": {"code": None, "message": None}}, ("", "")),
        ({"error": {"code": 7, "message": ["m"]}}, ("7", "['m']")),
        # As llama.cpp writes them: the code is the status.
        ({"error": {"code": 400, "type": "too_much", "message": "m"}}, ("too_much", "m")),
        ({"error": "down"}, ("down", "")),
        ({"error": ["down"]}, ("['down']", "")),
        # As Baidu's API gateway writes them.
        ({"code": "c", "message": "m"}, ("c", "m")),
        ({"error": "down", "code": "c", "message": "m"}, ("down", "")),
        (WHOLE | {"error": {"code": None, "message": "m"}}, ("", "m")),
    ):
        assert read_error(payload) == error, payload


def test_payload_that_is_not_an_error_has_none():
    for payload in (
        {},
        {"error": None},
        {"error": {}},
        {"code": "c"},
        {"message": "m"},
        {"code": "c", "MESSAGE": "m"},
        WHOLE | {"code": "c", "message": "m"},
        WHOLE | {"error": {"code": None, "message": ""}},
        WHOLE,
        STREAM[0],
        DONE,
    ):
        assert read_error(payload) is None, payload


@given(JSON)
def test_arbitrary_json_is_an_error_or_none(value):
    error = read_error({"error": value})
    assert error is None or all(isinstance(part, str) for part in error)


# --- the list of models


def test_list_of_models_becomes_sorted_unique_valid_names():
    listed = [{"id": "ernie-5.1", "object": "model"}, {"id": "deepseek-v3.2"}, {"id": "ernie-5.1"}]
    assert read_models({"object": "list", "data": listed}) == ["deepseek-v3.2", "ernie-5.1"]
    for data in (None, [], {"id": "x"}, "x", 5, True):
        assert read_models({"data": data}) == [], data
    for row in (None, 5, {"id": None}, {"id": ""}, {}, {"id": "a b"}, {"id": "a" * 201}):
        assert read_models({"data": [row, {"id": "a" * 200}]}) == ["a" * 200], row


# --- bodies


def test_path_of_a_kind_does_not_name_the_model():
    assert path("chat", "ernie-5.1") == "/chat/completions"
    assert path("completion", "ernie-5.1") == "/completions"


def test_body_has_the_model_then_content_then_parameters():
    found = chat([user("hi")], {"temperature": 0.5, "stop": ["END"], "top_p": None})
    assert list(found.items()) == [
        ("model", "ernie-5.1"),
        ("messages", [user("hi")]),
        ("temperature", 0.5),
        ("stop", ["END"]),
    ]
    coder = service("qwen3-coder-30b-a3b-instruct")
    found = body("completion", coder, "def f(", {"suffix": "\n", "stop": ["#"]}, stream=False)
    assert list(found.items()) == [
        ("model", "qwen3-coder-30b-a3b-instruct"),
        ("prompt", "def f("),
        ("suffix", "\n"),
        ("stop", ["#"]),
    ]
    card = Card(name="mine", kinds=("chat",), version=2, model="am-abc/ernie")
    mine = Catalogue([card]).resolve(None, "mine", "chat", (2,))
    assert body("chat", mine, [user("hi")], {}, stream=False)["model"] == "am-abc/ernie"


def test_only_a_stream_requests_streaming_and_usage():
    for kind, content in (("chat", [user("hi")]), ("completion", "hi")):
        streamed = body(kind, service("deepseek-v3.2"), content, {}, stream=True)
        assert streamed["stream"] is True, kind
        assert streamed["stream_options"] == {"include_usage": True}, kind
        complete = body(kind, service("deepseek-v3.2"), content, {}, stream=False)
        assert {"stream", "stream_options"} & complete.keys() == set(), kind


def test_system_text_becomes_the_first_message():
    messages = [user("a"), assistant("b"), user("c")]
    found = chat(messages, {"system": "Be brief."})
    assert found["messages"] == [{"role": "system", "content": "Be brief."}, *messages]
    assert "system" not in found


def test_two_system_texts_are_refused():
    messages = [{"role": "system", "content": "a"}, user("b")]
    assert refusal(chat, messages, {"system": "c"}) == (
        "There are two system texts: the parameter system and the first message\n"
        "Leave one of them out."
    )


def test_parameters_have_the_names_and_forms_of_version_2():
    for options, sent in (
        ({"response_format": "json_object"}, {"response_format": {"type": "json_object"}}),
        ({"user_id": "u-1"}, {"user": "u-1"}),
        ({"max_tokens": 65_536}, {"max_tokens": 65_536}),  # beyond the bounds of version 1
    ):
        found = chat([user("hi")], options)
        assert found == {"model": "ernie-5.1", "messages": [user("hi")]} | sent


def test_enable_thinking_is_sent_in_the_form_that_the_card_names():
    for model in ("ernie-5.1", "ernie-5.0", "one-without-a-card"):
        for switch in (True, False):
            found = chat([user("hi")], {"enable_thinking": switch}, model=model)
            assert found["enable_thinking"] is switch, model
            assert "thinking" not in found, model
    for model in ("deepseek-v3.2", "deepseek-v4-pro", "glm-5.3"):
        for switch, state in ((True, "enabled"), (False, "disabled")):
            found = chat([user("hi")], {"enable_thinking": switch}, model=model)
            assert found["thinking"] == {"type": state}, model
            assert "enable_thinking" not in found, model
        assert list(chat([user("hi")], model=model)) == ["model", "messages"], model


def test_thinking_is_refused_where_the_card_says_so():
    model = "ernie-4.5-turbo-128k"
    assert refusal(chat, [user("hi")], {"enable_thinking": True}, model=model) == (
        f"{model} does not think before it answers\n"
        "Leave --enable-thinking out, or ask one that does: %qianfan models lists them."
    )
    found = chat([user("hi")], {"enable_thinking": False}, model=model)
    assert found["enable_thinking"] is False
    assert refusal(chat, [user("hi")], {"reasoning_effort": "low"}, model=model) == (
        f"{model} does not take reasoning_effort, as far as its card says\n"
        "Leave --reasoning-effort out, or set effort = true in a card of your own."
    )


def test_invalid_prompt_is_refused():
    for prompt in ("", " ", None, ["hi"], "\ud800"):
        message = refusal(body, "completion", service("deepseek-v3.2"), prompt, {}, stream=False)
        assert message.startswith("The prompt "), ascii(prompt)


def test_invalid_parameter_is_refused():
    for name in ("temperature", "seed"):
        assert name in refusal(chat, [user("hi")], {name: 0})


def test_length_limit_of_the_card_includes_all_texts():
    card = Card(name="x", kinds=("chat", "completion"), version=2, max_characters=6, sees=True)
    limited = Service("x", version=2, card=card)
    for length in (3, 4):
        messages = [user("a"), assistant("b"), user([text("c" * length), picture()])]
        call = ("chat", limited, messages, {"system": "s"})
        if length == 3:
            assert body(*call, stream=False)
        else:
            assert "The text has 7 characters" in refusal(body, *call, stream=False)
    assert body("completion", limited, "abcdef", {}, stream=False)
    message = refusal(body, "completion", limited, "abcdefg", {}, stream=False)
    assert "The text has 7 characters" in message


# --- messages


def test_valid_messages_are_sent_unchanged():
    for messages in (
        [user("a")],
        [user("a"), user("b")],
        [user("a"), assistant("b"), user("c")],
        [{"role": "system", "content": "s"}, user("a")],
        [user([text("a"), picture()])],
        [user([{"type": "video_url", "video_url": {"url": "http://x/"}}])],
        [
            user("a"),
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
            {"role": "tool", "content": "5", "tool_call_id": "c"},
        ],
        [user("a") | {"name": "Ann"}],
    ):
        assert check_messages(messages) == messages


def test_reasoning_is_not_sent_back():
    messages = [user("a"), assistant("b") | {"reasoning_content": "t"}, user("c")]
    assert check_messages(messages) == [user("a"), assistant("b"), user("c")]


def test_messages_must_be_a_list_of_at_least_one():
    for messages in ([], (), None, "hi", {}, user("hi"), 5):
        assert refusal(check_messages, messages) == (
            "messages must be a list of at least one message\n"
            'Such as [{"role": "user", "content": "hi"}].'
        ), messages


BEGINNING = assistant("Good") | {"prefix": True}


def test_beginning_of_the_answer_is_the_last_message():
    assert check_messages([user("hi"), BEGINNING]) == [user("hi"), BEGINNING]
    assert check_messages([user("hi"), BEGINNING, user("a")]) == [
        user("hi"),
        assistant("Good"),
        user("a"),
    ]
    assert check_messages([user("hi") | {"prefix": True}]) == [user("hi")]


def test_wrong_beginning_of_the_answer_is_refused():
    for messages, words in (
        ([BEGINNING], "The last message is the answer's beginning"),
        ([assistant("a"), BEGINNING], "The last message has the role 'assistant'"),
        ([user("hi"), BEGINNING | {"prefix": 1}], "The last message has the role 'assistant'"),
        ([user("hi"), BEGINNING | {"content": " "}], "The content of message 2 is empty"),
        (
            [user("hi"), BEGINNING | {"content": [{"type": "text", "text": "a"}]}],
            "The content of message 2 is list",
        ),
    ):
        assert refusal(check_messages, messages).startswith(words), messages


def test_beginning_of_the_answer_is_refused_where_the_card_says_so():
    messages = [user("hi"), BEGINNING]
    assert chat(messages, model="deepseek-v4-pro")["messages"] == messages
    assert chat(messages, model="brand-new")["messages"] == messages
    message = refusal(chat, messages, model="ernie-5.1")
    assert message.startswith("ernie-5.1 does not go on from the beginning of an answer")
    (able,) = re.findall(r"\nLeave it out, or ask one that does: (.*)\.$", message)
    assert "deepseek-v4-pro" in able.split(", ")


def test_unknown_or_misplaced_role_is_refused():
    for messages, message in (
        ([user("a"), {"role": "system", "content": "s"}], "Message 2 has the role 'system'"),
        ([{"role": "User", "content": "a"}], "Message 1 has the role 'User'"),
        ([{"role": ["user"], "content": "a"}], "Message 1 has the role ['user']"),
        ([{"content": "a"}], "Message 1 has the role None"),
        ([None], "Message 1 has the role None"),
    ):
        hint = "Roles are user, assistant and tool; system only for the first message."
        assert refusal(check_messages, messages) == f"{message}\n{hint}"
    for role, messages in (
        ("assistant", [user("a"), assistant("b")]),
        ("system", [{"role": "system", "content": "s"}]),
    ):
        assert refusal(check_messages, messages) == (
            f"The last message has the role {role!r}\n"
            "The last message is the user's question, or the result of a tool; after it there may "
            'be the beginning of the answer, {"role": "assistant", "content": …, "prefix": True}.'
        )


def test_invalid_content_is_refused_with_its_place():
    for content in ("", " \n", None, 5, "\ud800"):
        messages = [user("a"), user(content)]
        assert "The content of message 2 " in refusal(check_messages, messages), ascii(content)
        messages = [user([picture(), text(content)])]
        assert "A text of message 1 " in refusal(check_messages, messages), ascii(content)


def test_list_of_other_things_than_parts_is_refused_with_its_place():
    for content in ([], ["a"], [None], [{}], [{"type": "text"}], [picture(), 5]):
        assert refusal(check_messages, [user("a"), user(content)]) == (
            "The content of message 2 is a list, but not of text and image_url parts\n"
            'Such as [{"type": "text", "text": "What is this?"}].'
        ), content


def test_message_that_json_cannot_represent_is_refused():
    for message in (
        user([picture("\ud800")]),
        user([{"type": "image_url", "image_url": {"url": float("nan")}}]),
        user([{"type": "image_url", "image_url": {"url": {1, 2}}}]),
        user("a") | {"name": "\ud800"},
        user("a") | {"name": object()},
        {"role": "tool", "content": "5", "tool_call_id": b"c"},
    ):
        assert refusal(check_messages, [message]) == (
            "Message 1 holds what JSON cannot carry\n"
            "Such as bytes, a set, NaN, or half of a character."
        ), ascii(message)


def test_picture_is_sent_unless_the_card_says_otherwise():
    messages = [user([text("What?"), picture()])]
    for model in ("ernie-5.0", "ernie-4.5-turbo-vl", "one-without-a-card"):
        assert chat(messages, model=model)["messages"] == messages, model
    hint = "Use a model that accepts pictures: %qianfan models lists them"
    assert refusal(chat, messages) == f"ernie-5.1 accepts no pictures\n{hint}."
    assert refusal(chat, [user([picture()])]) == f"ernie-5.1 accepts no pictures\n{hint}."
    message = refusal(chat, [user([picture()]), BEGINNING], model="deepseek-v4-pro")
    assert message == f"deepseek-v4-pro accepts no pictures\n{hint}."
    assert chat([user([text("What?")])])["messages"] == [user([text("What?")])]
    assert refusal(chat, [*messages, assistant("A cat."), user("Sure?")]) == (
        "ernie-5.1 accepts no pictures, and an earlier message has one\n"
        f"{hint}; or start another conversation, -n NAME."
    )
