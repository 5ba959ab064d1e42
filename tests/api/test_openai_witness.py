"""The embedded server as openai-python sees it: an independent client of the same protocol.

The client reads no setting of this computer: its key and address are given, and no proxy is used.
Its objects keep what they are given without checking it, so the tests name the values they expect.
"""

from __future__ import annotations

import json

import openai
import pytest
from pydantic import BaseModel

from qianfan_magic import QianfanClient
from qianfan_magic.embedded.engines import reasoning as thoughts
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

MODEL, CODER = "ernie-5.1", "qwen3-coder-30b-a3b-instruct"
WALL = [{"role": "user", "content": "长城"}]
LARGER = [{"role": "user", "content": "Which is larger, 9.11 or 9.9?"}]
THINKING = {"enable_thinking": True}


class City(BaseModel):
    """A schema."""

    name: str
    population: int


@pytest.fixture(scope="module")
def server():
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def connect(server):
    """Make a client for a root of the server; the key is the server's unless another is given."""
    clients = []

    def make(root="/v2", key=server.authenticator.keys.bearer_token, retries=0):
        direct = openai.DefaultHttpxClient(trust_env=False)
        address = server.base_url + root
        client = openai.OpenAI(
            base_url=address, api_key=key, max_retries=retries, timeout=20, http_client=direct
        )
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect):
    return connect()


@pytest.fixture
def ours(server):
    with QianfanClient(server.settings()) as own:
        yield own


def numbers(usage):
    return [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens]


# --- answers


@pytest.mark.parametrize("root", ["/v2", "/v1"])
def test_answer_is_the_one_our_client_reads(connect, ours, root):
    answer = connect(root).chat.completions.create(model=MODEL, messages=WALL)
    reply = ours.chat(WALL, model=MODEL)
    (choice,) = answer.choices
    assert choice.message.content == reply.text
    assert choice.message.role == "assistant"
    assert choice.finish_reason == reply.finish_reason == "stop"
    assert answer.model == MODEL
    assert answer.object == "chat.completion"
    assert numbers(answer.usage) == numbers(reply.usage)


@pytest.mark.parametrize("root", ["/v2", "/v1"])
def test_stream_has_the_text_and_the_usage_at_its_end(connect, ours, root):
    usage = {"include_usage": True}
    *chunks, last = connect(root).chat.completions.create(
        model=MODEL, messages=WALL, stream=True, stream_options=usage
    )
    reply = ours.chat(WALL, model=MODEL)
    assert len(chunks) > 1
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == reply.text
    assert {chunk.object for chunk in [*chunks, last]} == {"chat.completion.chunk"}
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert numbers(last.usage) == numbers(reply.usage)
    assert last.choices[0].finish_reason == "stop"


def test_stream_has_no_usage_unless_requested(client):
    chunks = list(client.chat.completions.create(model=MODEL, messages=WALL, stream=True))
    assert {chunk.usage for chunk in chunks} == {None}


@pytest.mark.parametrize("root", ["/v2", "/v1"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_completion(connect, ours, root, stream):
    prompt = "def fibonacci(n):"
    completions = connect(root).completions
    answer = completions.create(model=CODER, prompt=prompt, stream=stream)
    parts = list(answer) if stream else [answer]
    text = "".join(part.choices[0].text for part in parts)
    assert text == ours.complete(prompt, model=CODER).text
    assert parts[-1].choices[0].finish_reason == "stop"


def test_answer_is_cut_at_the_maximum_number_of_tokens(client):
    answer = client.chat.completions.create(model=MODEL, messages=WALL, max_tokens=9)
    assert answer.choices[0].finish_reason == "length"
    assert 0 < answer.usage.completion_tokens <= 9


@pytest.mark.parametrize("root", ["/v2", "/v1"])
def test_models_are_listed(connect, root):
    models = list(connect(root).models.list())
    assert {MODEL, CODER} <= {model.id for model in models}
    assert {model.object for model in models} == {"model"}


def test_reasoning_comes_beside_the_answer(client):
    answer = client.chat.completions.create(model=MODEL, messages=LARGER, extra_body=THINKING)
    message, usage = answer.choices[0].message, answer.usage
    assert message.reasoning_content == thoughts.LARGER.thought
    assert message.content == thoughts.LARGER.right.strip()
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens


def test_reasoning_is_streamed_before_the_answer(client):
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=LARGER, stream=True, extra_body=THINKING
        )
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    reasoning = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    thinks = [bool(piece) for piece in reasoning]
    assert thinks == sorted(thinks, reverse=True)
    assert "".join(reasoning) == thoughts.LARGER.thought
    assert "".join(delta.content or "" for delta in deltas) == thoughts.LARGER.right.strip()


def test_answer_follows_a_json_schema(client):
    schema = {"name": "City", "schema": City.model_json_schema()}
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A city"}],
        response_format={"type": "json_schema", "json_schema": schema},
    )
    assert json.loads(answer.choices[0].message.content).keys() == {"name", "population"}


def test_answer_becomes_an_object_of_the_given_class(client):
    messages = [{"role": "user", "content": "A city"}]
    answer = client.chat.completions.parse(model=MODEL, messages=messages, response_format=City)
    assert isinstance(answer.choices[0].message.parsed, City)


# --- errors


def ask(client, **changed):
    return client.chat.completions.create(**{"model": MODEL, "messages": WALL} | changed)


@pytest.mark.parametrize("root", ["/v2", "/v1"])
def test_error_has_the_class_of_its_status(connect, root):
    stranger = connect(root, key="bce-v3/ALTAK-nobody/none")
    client = connect(root)
    for send, error, code in (
        (lambda: ask(client, temperature=9), openai.BadRequestError, "invalid_argument"),
        (lambda: ask(client, messages=[]), openai.BadRequestError, "invalid_messages"),
        (lambda: ask(stranger), openai.AuthenticationError, "invalid_iam_token"),
        (stranger.models.list, openai.AuthenticationError, "invalid_iam_token"),
        # The service answers a model that does not exist with 401, not with 404.
        (lambda: ask(client, model="no-such"), openai.AuthenticationError, "invalid_model"),
        (
            lambda: client.embeddings.create(model=MODEL, input="长城"),
            openai.NotFoundError,
            "not_found",
        ),
    ):
        with pytest.raises(error) as caught:
            pytest.fail(f"{code}: {send()}")
        assert caught.value.code == code


@pytest.mark.parametrize("root", ["/v2", "/v1"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_injected_error_has_the_class_of_its_status(server, connect, root, stream):
    client = connect(root)
    for status, code, error in (
        (403, "access_denied", openai.PermissionDeniedError),
        (429, "rpm_rate_limit_exceeded", openai.RateLimitError),
        (500, "internal_error", openai.InternalServerError),
    ):
        server.fail(Fault(status=status, error_code=code, error_msg="slower", path=f"{root}/"))
        with pytest.raises(error, match="slower") as caught:
            pytest.fail(f"{code}: {ask(client, stream=stream)}")
        assert caught.value.code == code


def test_error_in_the_middle_of_a_stream_comes_after_its_chunks(server, client):
    server.fail(Fault(error_code="internal_error", error_msg="broken", after=2, path="/v2/"))
    chunks = []
    with pytest.raises(openai.APIError, match="broken"):
        chunks.extend(ask(client, stream=True))
    assert len(chunks) == 2


def test_rate_limit_is_retried_after_the_time_that_the_server_names(server, connect):
    start = len(server.seen)
    later = {"Retry-After": "0.01"}
    code = "rpm_rate_limit_exceeded"
    server.fail(Fault(status=429, error_code=code, headers=later, path="/v2/"))
    assert ask(connect(retries=1)).choices[0].message.content
    assert len(server.seen) == start + 2


def test_calls_of_functions_arrive_whole_and_in_pieces(client):
    properties = {"x": {"type": "number"}, "y": {"type": "number"}}
    function = {"name": "add", "parameters": {"type": "object", "properties": properties}}
    asked = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Add 3 and 4"}],
        "tools": [{"type": "function", "function": function}],
    }
    [choice] = client.chat.completions.create(**asked).choices
    [call] = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls"
    assert json.loads(call.function.arguments) == {"x": 3, "y": 4}
    pieces = [
        piece.function
        for chunk in client.chat.completions.create(**asked, stream=True)
        for piece in chunk.choices[0].delta.tool_calls or []
    ]
    assert pieces[0].name == "add"
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"x": 3, "y": 4}
    told = {"role": "tool", "tool_call_id": call.id, "content": "7"}
    messages = [*asked["messages"], choice.message, told]
    [choice] = client.chat.completions.create(**asked | {"messages": messages}).choices
    assert choice.message.content == "The result is 7."
