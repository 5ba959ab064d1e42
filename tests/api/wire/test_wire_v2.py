"""The wire of version 2: answers as its documents and recordings have them, and the bodies."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qianfan_magic.api.catalogue.cards import Card
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.types import DONE, ApiVersion, Reply, Usage
from qianfan_magic.api.wire import read_reply
from qianfan_magic.api.wire.encoding import encode_body
from qianfan_magic.api.wire.v2 import (
    body,
    check_messages,
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


def chunks(payloads):
    """Read the payloads of a stream one after the other, as the client does."""
    found = []
    for payload in payloads:
        found.append(read_chunk(payload, found[-1] if found else None))
    return found


def reply(*payloads):
    return read_reply(chunks(payloads), ApiVersion.V2)


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


def text(words):
    return {"type": "text", "text": words}


def service(model):
    return Catalogue().resolve(None, model, "chat", (2,))


def chat(messages, parameters=None, *, model="ernie-5.1", stream=False):
    return body("chat", service(model), messages, parameters or {}, stream=stream)


def refusal(messages):
    with pytest.raises(ParameterError) as caught:
        check_messages(messages)
    return str(caught.value)


# --- whole answers


def test_whole_chat_is_read_field_for_field():
    assert whole(WHOLE) == Reply(
        text="你好！很高兴见到你。",
        id="as-qsp8w7ppnv",
        usage=Usage(11, 15, 26),
        finish_reason="stop",
        raw=WHOLE,
    )


def test_whole_completion_is_read_field_for_field():
    assert whole(COMPLETION) == Reply(
        text="    return a + b\n",
        id="as-2",
        usage=Usage(9, 6, 15),
        finish_reason="stop",
        raw=COMPLETION,
    )


def test_whole_answer_is_its_own_end():
    assert read_chunk(WHOLE, whole=True).is_end


def test_whole_answer_has_what_was_thought():
    payload = choice(message={"content": "4", "reasoning_content": "2 + 2"})
    assert (whole(payload).reasoning, whole(payload).text) == ("2 + 2", "4")


@pytest.mark.parametrize("content", ["", None])
def test_answer_that_calls_tools_has_no_text(content):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": content, "tool_calls": [call]}
    found = whole(choice(message=message, finish_reason="tool_calls"))
    assert (found.text, found.finish_reason) == ("", "tool_calls")
    assert found.raw["choices"][0]["message"]["tool_calls"] == [call]


# --- streams


def test_stream_is_read_field_for_field():
    assert reply(*STREAM) == Reply(
        text="你好",
        reasoning="好的，打个招呼。",
        id="as-1",
        usage=Usage(17, 253, 270),
        finish_reason="stop",
        raw=STREAM[-2],
    )


def test_stream_of_a_completion_is_read_field_for_field():
    assert reply(*COMPLETION_STREAM) == Reply(
        text="    return a\n",
        id="as-3",
        usage=Usage(9, 4, 13),
        finish_reason="length",
        is_truncated=True,
        raw=COMPLETION_STREAM[1],
    )


@pytest.mark.parametrize("stream", [STREAM, COMPLETION_STREAM])
def test_only_done_is_the_end(stream):
    assert [chunk.is_end for chunk in chunks(stream)] == [False] * (len(stream) - 1) + [True]


def test_chunk_is_what_is_new():
    assert [chunk.text for chunk in chunks(STREAM)] == ["", "", "", "你", "好", "", ""]


def test_thinking_is_apart_from_the_answer():
    thought = [chunk.reasoning for chunk in chunks(STREAM)]
    assert thought == ["", "好的", "，打个招呼。", "", "", "", ""]


def test_usage_is_there_from_the_chunk_that_has_it():
    found = [chunk.usage for chunk in chunks(STREAM)]
    assert found == [Usage()] * 5 + [Usage(17, 253, 270)] * 2


def test_running_usage_is_replaced_and_not_added():
    first = frame({"content": "a"}, usage={"prompt_tokens": 5, "total_tokens": 6})
    last = frame({"content": "b"}, usage={"prompt_tokens": 5, "total_tokens": 9})
    assert [chunk.usage.total_tokens for chunk in chunks([first, last])] == [6, 9]


def test_chunk_keeps_the_service_s_own_json():
    assert read_chunk(STREAM[0]).raw is STREAM[0]


def test_chunk_without_choices_may_bring_the_usage():
    """OpenAI's servers send it like this, and so may a third party's model."""
    last = {"id": "as-1", "choices": [], "usage": WHOLE["usage"]}
    found = reply(frame({"content": "a"}, finish_reason="stop"), last, DONE)
    assert (found.text, found.usage) == ("a", Usage(11, 15, 26))


def test_chunk_without_choices_does_not_take_back_what_was_said():
    last = {"id": "as-1", "choices": []}
    assert reply(frame({"content": "a"}, finish_reason="stop"), last, DONE).finish_reason == "stop"


def test_done_alone_is_an_empty_end():
    chunk = read_chunk(DONE)
    assert (chunk.text, chunk.reasoning, chunk.is_end, chunk.usage) == ("", "", True, Usage())


def test_done_alone_is_an_empty_reply():
    assert reply(DONE) == Reply(text="")


@pytest.mark.parametrize("delta", [{}, None, {"role": "assistant"}, {"content": None}])
def test_frame_without_a_text_is_a_chunk(delta):
    assert read_chunk(frame(delta)).text == ""


def test_completion_in_the_shape_of_a_chat_is_read():
    """The document's copies are cut off where the stream's field would be named."""
    assert read_chunk(frame({"content": "x"}) | {"object": "text_completion"}).text == "x"


# --- what is said besides the text


@pytest.mark.parametrize(
    ("said", "truncated"), [("length", True), ("stop", False), ("tool_calls", False), (None, False)]
)
def test_only_length_is_truncated(said, truncated):
    assert whole(choice(finish_reason=said)).is_truncated is truncated


@pytest.mark.parametrize(("said", "reason"), [("stop", "stop"), ("", ""), (None, "")])
def test_finish_reason_is_the_service_s_word(said, reason):
    assert whole(choice(finish_reason=said)).finish_reason == reason


@pytest.mark.parametrize(
    ("flag", "is_safe", "forget"),
    [
        (0, None, False),
        (None, None, False),
        (1, False, False),
        (2, False, True),
        (3, False, True),
        (4, False, True),
    ],
)
def test_flag_tells_of_safety_and_whether_to_go_on(flag, is_safe, forget):
    found = whole(choice(flag=flag))
    assert (found.is_safe, found.need_clear_history) == (is_safe, forget)


def test_filtered_content_is_not_safe():
    assert whole(choice(finish_reason="content_filter")).is_safe is False


@pytest.mark.parametrize("ban_round", [-1, 1, 3])
def test_ban_round_is_told_with_a_flag(ban_round):
    assert whole(choice(flag=2, ban_round=ban_round)).ban_round == ban_round


@pytest.mark.parametrize("flag", [0, 1])
def test_ban_round_counts_for_nothing_if_the_talk_may_go_on(flag):
    assert whole(choice(flag=flag, ban_round=0)).ban_round is None


@pytest.mark.parametrize("ban_round", ["-1", None, 1.5, [1]])
def test_ban_round_that_is_no_number_is_none(ban_round):
    assert whole(choice(flag=3, ban_round=ban_round)).ban_round is None


def test_need_clear_history_outside_the_choice_counts():
    payload = choice() | {"need_clear_history": True, "ban_round": 2}
    found = whole(payload)
    assert (found.need_clear_history, found.ban_round) == (True, 2)


@pytest.mark.parametrize("place", [0, 1])
def test_flag_of_any_chunk_is_the_reply_s(place):
    frames = [frame({"content": "a"}), frame({"content": "b"})]
    frames[place]["choices"][0] |= {"flag": 4, "ban_round": -1}
    found = reply(*frames, DONE)
    assert (found.is_safe, found.need_clear_history, found.ban_round) == (False, True, -1)


@pytest.mark.parametrize(("said", "found"), [("as-1", "as-1"), (None, ""), (7, "7")])
def test_id_is_a_text(said, found):
    assert whole(choice() | {"id": said}).id == found


# --- usage


@pytest.mark.parametrize("usage", [None, [], "many", {}, {"total_tokens": None}, {"x": 5}])
def test_usage_that_is_none_counts_nothing(usage):
    assert read_usage({"usage": usage}) == Usage(0, 0, 0)


@pytest.mark.parametrize("count", [-3, None, "5", [5], pytest.param(10**400, id="400 digits")])
def test_count_that_is_none_is_not_counted(count):
    found = read_usage({"usage": {"prompt_tokens": 5, "total_tokens": count}})
    assert found == Usage(5, 0, 0)


# --- what is no answer


@pytest.mark.parametrize(
    "payload", [{}, {"choices": None}, {"choices": {}}, {"choices": "a"}, {"result": "v1"}]
)
def test_payload_without_choices_is_no_chunk(payload):
    with pytest.raises(ValueError, match="'choices'"):
        read_chunk(payload)


@pytest.mark.parametrize(
    "choices",
    [
        [None],
        ["a"],
        [5],
        [[]],
        [{"delta": "a"}],
        [{"delta": ["a"]}],
        [{"delta": {"content": 5}}],
        [{"delta": {"content": ["a"]}}],
        [{"delta": {"reasoning_content": True}}],
        [{"message": 1.5}],
        [{"text": {"a": 1}}],
    ],
)
def test_choice_that_is_none_is_no_chunk(choices):
    with pytest.raises(ValueError, match="its choice has no text"):
        read_chunk({"choices": choices})


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
def test_arbitrary_json_is_an_answer_or_no_chunk(choices, usage, said):
    payload = {"choices": choices, "usage": usage, "id": said, "need_clear_history": said}
    for is_whole in (True, False):
        try:
            found = read_reply([read_chunk(payload, whole=is_whole)], ApiVersion.V2)
        except ValueError:
            continue
        assert isinstance(found.text + found.reasoning + found.id + found.finish_reason, str)
        assert all(isinstance(count, int) and count >= 0 for count in vars_of(found.usage))
        assert found.ban_round is None or isinstance(found.ban_round, int)


def vars_of(usage):
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


# --- errors


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (
            {
                "error": {
                    "code": "rpm_rate_limit_exceeded",
                    "message": "Rate limit reached for RPM",
                    "type": "rate_limit_exceeded",
                },
                "id": "as-wbx23eriqh",
            },
            ("rpm_rate_limit_exceeded", "Rate limit reached for RPM"),
        ),
        ({"error": {"type": "access_denied", "message": "m"}}, ("access_denied", "m")),
        ({"error": {"code": None, "message": None}}, ("", "")),
        ({"error": {"code": 7, "message": ["m"]}}, ("7", "['m']")),
        ({"error": "down"}, ("down", "")),
        ({"error": ["down"]}, ("['down']", "")),
    ],
)
def test_error_has_a_code_and_words(payload, found):
    assert read_error(payload) == found


@pytest.mark.parametrize("payload", [{}, {"error": None}, {"error": {}}, WHOLE, STREAM[0], DONE])
def test_what_is_no_error_is_none(payload):
    assert read_error(payload) is None


@given(JSON)
def test_arbitrary_json_is_an_error_or_none(found):
    assert read_error({"error": found}) is None or all(
        isinstance(each, str) for each in read_error({"error": found})
    )


# --- the list of models


def test_models_are_listed_by_name():
    listed = [{"id": "ernie-5.1", "object": "model"}, {"id": "deepseek-v3.2"}, {"id": "ernie-5.1"}]
    assert read_models({"object": "list", "data": listed}) == ["deepseek-v3.2", "ernie-5.1"]


@pytest.mark.parametrize(
    "data", [None, [], [None], [5], [{"id": None}], [{"id": ""}], [{}], {"id": "x"}, "x", 5, True]
)
def test_list_that_is_none_has_no_models(data):
    assert read_models({"data": data}) == []


# --- bodies


@pytest.mark.parametrize(
    ("kind", "address"), [("chat", "/v2/chat/completions"), ("completion", "/v2/completions")]
)
def test_path_of_a_kind_does_not_name_the_model(kind, address):
    assert path(kind, "ernie-5.1") == address


def test_chat_body_names_the_model_first():
    assert list(chat([user("hi")], {"seed": 5})) == ["model", "messages", "seed"]


def test_chat_body_has_messages_and_parameters():
    found = chat([user("hi")], {"temperature": 0.5, "stop": ["END"], "top_p": None})
    assert found == {
        "model": "ernie-5.1",
        "messages": [user("hi")],
        "temperature": 0.5,
        "stop": ["END"],
    }


def test_name_of_the_card_s_model_is_sent():
    card = Card(name="mine", kinds=("chat",), version=2, model="am-abc/ernie")
    asked = Catalogue([card]).resolve(None, "mine", "chat", (2,))
    assert body("chat", asked, [user("hi")], {}, stream=False)["model"] == "am-abc/ernie"


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_stream_asks_for_usage(kind):
    asked = [user("hi")] if kind == "chat" else "hi"
    found = body(kind, service("deepseek-v3.2"), asked, {}, stream=True)
    assert (found["stream"], found["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_whole_answer_asks_for_no_stream(kind):
    asked = [user("hi")] if kind == "chat" else "hi"
    found = body(kind, service("deepseek-v3.2"), asked, {}, stream=False)
    assert {"stream", "stream_options"} & found.keys() == set()


def test_system_text_goes_first():
    found = chat([user("a"), assistant("b"), user("c")], {"system": "Be brief."})
    assert found["messages"] == [
        {"role": "system", "content": "Be brief."},
        user("a"),
        assistant("b"),
        user("c"),
    ]
    assert "system" not in found


def test_two_system_texts_are_refused():
    messages = [{"role": "system", "content": "a"}, user("b")]
    with pytest.raises(ParameterError, match="two system texts"):
        chat(messages, {"system": "c"})


def test_response_format_is_wrapped():
    found = chat([user("hi")], {"response_format": "json_object"})
    assert found["response_format"] == {"type": "json_object"}


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize("model", ["ernie-5.1", "ernie-5.0", "one-without-a-card"])
def test_thinking_is_a_switch_of_its_own(model, switch):
    found = chat([user("hi")], {"enable_thinking": switch}, model=model)
    assert (found["enable_thinking"], "thinking" in found) == (switch, False)


@pytest.mark.parametrize(("switch", "state"), [(True, "enabled"), (False, "disabled")])
@pytest.mark.parametrize("model", ["deepseek-v3.2", "deepseek-v4-pro", "glm-5.3"])
def test_thinking_is_an_object_where_the_card_says_so(model, switch, state):
    found = chat([user("hi")], {"enable_thinking": switch}, model=model)
    assert (found["thinking"], "enable_thinking" in found) == ({"type": state}, False)


def test_thinking_is_not_told_unless_asked():
    assert list(chat([user("hi")], model="deepseek-v3.2")) == ["model", "messages"]


def test_user_id_goes_by_version_2_s_name():
    assert chat([user("hi")], {"user_id": "u-1"})["user"] == "u-1"


def test_max_tokens_goes_by_its_name_and_without_version_1_s_bounds():
    assert chat([user("hi")], {"max_tokens": 65_536})["max_tokens"] == 65_536


def test_completion_body_has_prompt_suffix_and_parameters():
    asked = service("qwen3-coder-30b-a3b-instruct")
    found = body("completion", asked, "def f(", {"suffix": "\n", "stop": ["#"]}, stream=False)
    assert found == {
        "model": "qwen3-coder-30b-a3b-instruct",
        "prompt": "def f(",
        "suffix": "\n",
        "stop": ["#"],
    }


@pytest.mark.parametrize("prompt", ["", " ", None, ["hi"], "\ud800"])
def test_bad_prompt_is_refused(prompt):
    with pytest.raises(ParameterError, match=r"^The prompt"):
        body("completion", service("deepseek-v3.2"), prompt, {}, stream=False)


@pytest.mark.parametrize("name", ["temperature", "seed"])
def test_body_with_a_bad_parameter_is_refused(name):
    with pytest.raises(ParameterError, match=name):
        chat([user("hi")], {name: 0})


@pytest.mark.parametrize(("length", "fits"), [(3, True), (4, False)])
def test_texts_of_all_messages_and_parts_count(length, fits):
    card = Card(name="x", kinds=("chat",), version=2, max_characters=6, sees=True)
    messages = [user("a"), assistant("b"), user([text("c" * length), picture()])]
    asked = Service("x", version=2, card=card)
    if fits:
        assert body("chat", asked, messages, {"system": "s"}, stream=False)
        return
    with pytest.raises(ParameterError, match="7 characters"):
        body("chat", asked, messages, {"system": "s"}, stream=False)


def test_prompt_longer_than_its_card_allows_is_refused():
    card = Card(name="x", kinds=("completion",), version=2, max_characters=3)
    with pytest.raises(ParameterError, match="4 characters"):
        body("completion", Service("x", version=2, card=card), "abcd", {}, stream=False)


# --- messages


@pytest.mark.parametrize(
    "messages",
    [
        [user("a")],
        [user("a"), user("b")],
        [user("a"), assistant("b"), user("c")],
        [{"role": "system", "content": "s"}, user("a")],
        [user([text("a"), picture()])],
        [
            user("a"),
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]},
            {"role": "tool", "content": "5", "tool_call_id": "c"},
        ],
        [user("a") | {"name": "Ann"}],
    ],
)
def test_messages_go_as_they_are(messages):
    assert check_messages(messages) == messages


def test_what_was_thought_is_not_sent_back():
    talk = [user("a"), assistant("b") | {"reasoning_content": "t"}, user("c")]
    assert check_messages(talk) == [user("a"), assistant("b"), user("c")]


@pytest.mark.parametrize("messages", [[], (), None, "hi", {}, user("hi"), 5])
def test_what_is_no_list_of_messages_is_refused(messages):
    assert "list of at least one message" in refusal(messages)


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([user("a"), {"role": "system", "content": "s"}], "Message 2 has the role 'system'"),
        ([{"role": "User", "content": "a"}], "Message 1 has the role 'User'"),
        ([{"role": ["user"], "content": "a"}], "Message 1 has the role ['user']"),
        ([{"content": "a"}], "Message 1 has the role None"),
        ([None], "Message 1 has the role None"),
        ([user("a"), assistant("b")], "The last message has the role 'assistant'"),
        ([{"role": "system", "content": "s"}], "The last message has the role 'system'"),
    ],
)
def test_role_out_of_place_is_refused(messages, words):
    assert words in refusal(messages)


@pytest.mark.parametrize("content", ["", " \n", None, 5, "\ud800"])
def test_bad_content_is_refused_with_its_place(content):
    assert "The content of message 2" in refusal([user("a"), user(content)])


@pytest.mark.parametrize("content", [[], ["a"], [None], [{}], [{"type": "text"}], [picture(), 5]])
def test_parts_that_are_none_are_refused_with_their_place(content):
    assert "The content of message 2 is a list" in refusal([user("a"), user(content)])


@pytest.mark.parametrize("words", ["", " ", None, 5, "\ud800"])
def test_bad_text_of_a_part_is_refused_with_its_place(words):
    assert "A text of message 1" in refusal([user([picture(), text(words)])])


@pytest.mark.parametrize(
    "message",
    [
        user([picture("\ud800")]),
        user([{"type": "image_url", "image_url": {"url": float("nan")}}]),
        user([{"type": "image_url", "image_url": {"url": {1, 2}}}]),
        user("a") | {"name": "\ud800"},
        user("a") | {"name": object()},
        {"role": "tool", "content": "5", "tool_call_id": b"c"},
    ],
)
def test_what_json_cannot_carry_is_refused(message):
    assert "essage 1" in refusal([message])


def test_picture_is_refused_where_the_card_says_so():
    with pytest.raises(ParameterError, match=r"^ernie-5\.1 accepts no pictures"):
        chat([user([text("What?"), picture()])])


@pytest.mark.parametrize("model", ["ernie-5.0", "ernie-4.5-turbo-vl", "one-without-a-card"])
def test_picture_is_sent_to_a_model_that_sees_or_is_not_known(model):
    messages = [user([text("What?"), picture()])]
    assert chat(messages, model=model)["messages"] == messages


# --- encoding of bodies

MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=2), max_size=2)
BODIES = st.dictionaries(st.text(max_size=8), JSON | MESSAGES, max_size=3)


@given(BODIES)
def test_encoded_body_is_json_of_the_body(sent):
    assert json.loads(encode_body(sent)) == sent


@given(st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_each_message_and_field_has_a_line(contents, model):
    lines = encode_body({"model": model, "messages": [user(c) for c in contents]}).split("\n")
    assert len(lines) == 1 + 1 + 1 + len(contents) + 1 + 1
    assert [json.loads(line.rstrip(",")) for line in lines[3:-2]] == [user(c) for c in contents]


def test_body_is_written_as_people_read_it():
    sent = {"model": "ernie-5.1", "messages": [user("你好\n"), assistant("b")], "stop": ["a"]}
    assert encode_body(sent) == (
        '{\n  "model": "ernie-5.1",\n  "messages": [\n'
        '    {"role": "user", "content": "你好\\n"},\n'
        '    {"role": "assistant", "content": "b"}\n  ],\n'
        '  "stop": ["a"]\n}'
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1}, b"x"])
def test_what_is_no_json_is_not_written(value):
    with pytest.raises((ValueError, TypeError)):
        encode_body({"a": value})


def test_said_of_no_choices_is_nothing():
    assert read_metadata({"choices": []}) == {}
