"""The embedded server over real HTTP, asked with requests alone: is it the service's wire?"""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from urllib.parse import quote

import pytest
import requests

from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

PATIENCE = 20.0  # seconds; only a test that fails waits so long
TOKEN = "/oauth/2.0/token"
SERVICE = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
DOLLY, STARCODER = "/chat/dolly_12b", "/completions/starcoder"
AQUILA, STABLE = "/completions/aquilacode_multi", "/completions/stablelm_alpha_7b"
SERVICES = {"Dolly-12B": DOLLY, "StarCoder": STARCODER}
SERVICES |= {"AquilaCode-multi": AQUILA, "StableLM-Alpha-7B": STABLE}
WALL = "Please introduce The Great Wall"
MAX_MIN = "python计算数组最大值最小值"


class Wire:
    """Asks one server as the documents' curl does."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.session = requests.Session()
        self.session.trust_env = False
        self._token = ""

    def token_response(self, method: str = "POST", **changed: str) -> requests.Response:
        keys = self.server.authenticator.keys
        query = {"grant_type": "client_credentials", "client_id": keys.ak, "client_secret": keys.sk}
        address = self.server.base_url + TOKEN
        return self.session.request(method, address, params=query | changed, timeout=PATIENCE)

    @property
    def token(self) -> str:
        self._token = self._token or self.token_response().json()["access_token"]
        return self._token

    def post(self, service: str, body: Any, *, token: str | None = None, **more: Any):
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        query = {"access_token": self.token if token is None else token}
        options = {"params": query, "headers": {"Content-Type": "application/json"}}
        options |= {"timeout": PATIENCE} | more
        return self.session.post(self.server.base_url + SERVICE + service, data=sent, **options)

    def ask(self, service: str, text: str | list, **parameters: Any) -> dict[str, Any]:
        return self.post(service, asked(service, text) | parameters).json()

    def stream(self, service: str, text: str | list, **parameters: Any) -> list[dict[str, Any]]:
        body = asked(service, text) | parameters | {"stream": True}
        events = self.post(service, body).content.decode("utf-8").split("\n\n")
        return [json.loads(event.removeprefix("data: ")) for event in events if event]

    def code(self, service: str, body: Any) -> int:
        """Give the error code of an answer; 0 if it is none."""
        return self.post(service, body).json().get("error_code", 0)


def asked(service: str, text: str | list) -> dict[str, Any]:
    if not service.startswith("/chat/"):
        return {"prompt": text}
    return {"messages": text if isinstance(text, list) else talk(text)}


def talk(*contents: Any) -> list[dict[str, Any]]:
    """Make messages of these contents, the user's first."""
    return [{"role": ("user", "assistant")[n % 2], "content": c} for n, c in enumerate(contents)]


def text_of(chunks: list[dict[str, Any]]) -> str:
    return "".join(chunk["result"] for chunk in chunks)


@pytest.fixture
def make_wire() -> Iterator[Callable[..., Wire]]:
    with ExitStack() as servers:
        yield lambda **given: Wire(servers.enter_context(EmbeddedServer(**given)))


@pytest.fixture
def wire(make_wire) -> Wire:
    return make_wire()


def until(condition: Callable[[], bool]) -> bool:
    """Wait until it holds, at most for long."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


# --- the token endpoint


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_keys_give_a_token(wire, method):
    assert wire.token_response(method).json()["access_token"].startswith("24.")


def test_token_lives_for_thirty_days(wire):
    assert wire.token_response().json()["expires_in"] == 2_592_000


def test_each_token_is_another(wire):
    tokens = {wire.token_response().json()["access_token"] for _ in range(3)}
    assert len(tokens) == 3


def test_new_token_leaves_the_old_one_valid(wire):
    old = wire.token
    wire.token_response()
    assert "result" in wire.post(STARCODER, {"prompt": "x"}, token=old).json()


REFUSALS = {
    "unknown client id": ({"client_id": "nobody"}, "invalid_client"),
    "Client authentication failed": ({"client_secret": "wrong"}, "invalid_client"),
    "": ({"grant_type": "password"}, "unsupported_grant_type"),
}


@pytest.mark.parametrize(("described", "case"), REFUSALS.items())
def test_refusal_of_a_token_says_why(wire, described, case):
    changed, error = case
    said = wire.token_response(**changed).json()
    assert (said["error"], said["error_description"]) == (error, described)


@pytest.mark.parametrize("changed", [changed for changed, _ in REFUSALS.values()])
def test_refusal_of_a_token_has_status_401(wire, changed):
    assert wire.token_response(**changed).status_code == 401


def test_refusal_of_a_token_names_no_key(wire):
    keys = wire.server.authenticator.keys
    said = wire.token_response(client_secret="wrong").text
    assert (keys.ak in said, keys.sk in said) == (False, False)


def test_keys_differ_from_server_to_server(make_wire):
    assert make_wire().server.authenticator.keys != make_wire().server.authenticator.keys


# --- the token is checked


@pytest.mark.parametrize(
    ("token", "code"),
    [("", 100), ("24.0123456789abcdef0123456789abcdef.2592000.1.1-1", 110), ("长城", 110)],
)
def test_wrong_token_is_refused(wire, token, code):
    assert wire.post(DOLLY, asked(DOLLY, "hi"), token=token).json()["error_code"] == code


def test_request_without_a_token_is_refused(wire):
    assert wire.post(DOLLY, asked(DOLLY, "hi"), params={}).json()["error_code"] == 100


def test_token_that_is_no_text_is_refused_in_json(wire):
    answer = wire.post(DOLLY, asked(DOLLY, "hi"), params="access_token=%ff")
    assert answer.headers["Content-Type"].startswith("application/json")


def test_token_expires(make_wire):
    wire = make_wire(token_life=0.05)
    assert wire.token
    until(lambda: wire.code(STARCODER, {"prompt": "x"}) != 0)
    assert wire.code(STARCODER, {"prompt": "x"}) == 111


def test_token_of_another_server_is_unknown(make_wire):
    other = make_wire().token
    assert make_wire().post(STARCODER, {"prompt": "x"}, token=other).json()["error_code"] == 110


def test_refusal_has_status_200_like_the_service(wire):
    assert wire.post(DOLLY, {}, token="wrong").status_code == 200


# --- the signature is really checked (bce-auth-v1, written down from Baidu's document)


def signed(wire: Wire, service: str, **changed: Any) -> dict[str, str]:
    """Give the headers of a request that is signed with the server's keys, unless changed."""
    keys = wire.server.authenticator.keys
    given = {"key": keys.access_key, "secret": keys.secret_key, "query": "", "at": now()} | changed
    names = given.get("names", ["host", "x-bce-date"])
    date = given["at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    host = wire.server.base_url.removeprefix("http://")
    prefix = f"bce-auth-v1/{given['key']}/{date}/{given.get('seconds', 300)}"
    values = {"host": quote(host, safe=""), "x-bce-date": quote(date, safe="")}
    headers = "\n".join(f"{name}:{values[name]}" for name in names)
    canonical = f"POST\n{SERVICE}{service}\n{given['query']}\n{headers}"
    signature = digest(digest(given["secret"], prefix), canonical)
    return {"x-bce-date": date, "Authorization": f"{prefix}/{';'.join(names)}/{signature}"}


def digest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def now(**ago: float) -> datetime:
    return datetime.now(UTC) - timedelta(**ago)


def ask_signed(wire: Wire, headers: dict[str, str], service: str = STARCODER, query: str = ""):
    return wire.post(service, {"prompt": "x"}, headers=headers, params=query).json()


def test_signed_request_is_let_in(wire):
    assert "result" in ask_signed(wire, signed(wire, STARCODER))


def test_signed_query_is_let_in(wire):
    headers = signed(wire, STARCODER, query="a%20b=%E5%9F%8E&c=1")
    assert "result" in ask_signed(wire, headers, query="c=1&a%20b=%E5%9F%8E")


WRONG = {
    "wrong secret": {"secret": "wrong"},
    "wrong key": {"key": "ALTAK0123456789"},
    "old date": {"at": now(minutes=600)},
    "date to come": {"at": now(minutes=-600)},
    "no time left": {"seconds": -1},
    "another query": {"query": "charset=utf-8"},
    "no host": {"names": ["x-bce-date"]},
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_wrong_signature_is_refused(wire, changed):
    assert ask_signed(wire, signed(wire, STARCODER, **changed))["error_code"] == 14


def test_signature_of_another_path_is_refused(wire):
    assert ask_signed(wire, signed(wire, STARCODER), AQUILA)["error_code"] == 14


def test_query_that_was_added_after_signing_is_refused(wire):
    assert ask_signed(wire, signed(wire, STARCODER), query="a=1")["error_code"] == 14


def test_date_that_was_changed_after_signing_is_refused(wire):
    headers = signed(wire, STARCODER) | {"x-bce-date": "2016-04-06T08:23:49Z"}
    assert ask_signed(wire, headers)["error_code"] == 14


@pytest.mark.parametrize(
    "authorization",
    ["bce-auth-v1/", "bce-auth-v1/a/b/c/d/e", "bce-auth-v1/a/2016-04-06T08:23:49Z/x/host/y"],
)
def test_half_a_signature_is_refused(wire, authorization):
    assert ask_signed(wire, {"Authorization": authorization})["error_code"] == 14


def test_signature_is_no_excuse_for_a_wrong_token(wire):
    """A token in the query is part of what is signed, so it changes the signature."""
    headers = signed(wire, STARCODER)
    assert ask_signed(wire, headers, query="access_token=wrong")["error_code"] == 14


# --- addresses and methods


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_any_method_but_post_is_refused(wire, method):
    answer = wire.session.request(method, wire.server.base_url + SERVICE + DOLLY)
    assert answer.json()["error_code"] == 336101


@pytest.mark.parametrize("path", ["/", "/nothing", SERVICE, f"{SERVICE}/chat/", f"{SERVICE}/x/y"])
def test_unknown_address_is_no_api(wire, path):
    assert wire.session.post(wire.server.base_url + path).json()["error_code"] == 3


@pytest.mark.parametrize("service", ["/chat/ngxxxol8_test1", "/completions/nothing", "/chat/dolly"])
def test_unknown_endpoint_is_refused(wire, service):
    assert wire.code(service, asked(service, "hi")) == 336005


@pytest.mark.parametrize("service", ["/completions/dolly_12b", "/chat/starcoder"])
def test_endpoint_in_the_wrong_folder_is_refused(wire, service):
    assert wire.code(service, {**asked(DOLLY, "hi"), "prompt": "hi"}) == 336005


@pytest.mark.parametrize("service", SERVICES.values())
def test_endpoint_may_have_the_prefix_of_the_console(wire, service):
    folder, name = service.rsplit("/", 1)
    assert "result" in wire.ask(f"{folder}/ngxxxol8_{name}", "hi")


# --- bodies


@pytest.mark.parametrize(
    "body", [b"", b"{", b"hi", b"\xff\xfe", b'{"prompt": "\\ud800"}', b"[" * 100_000]
)
def test_body_that_is_not_json_is_refused(wire, body):
    assert wire.code(STARCODER, body) == 336002


@pytest.mark.parametrize("body", [[], "text", 1, None, {}])
@pytest.mark.parametrize("service", [DOLLY, STARCODER])
def test_body_without_what_is_asked_is_refused(wire, service, body):
    assert wire.code(service, body) == 336001


def test_body_is_json_whatever_its_type_says(wire):
    """curl's -d, as in the documents' examples, sends a form's content type."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert "result" in wire.post(STARCODER, {"prompt": "x"}, headers=headers).json()


def test_body_that_calls_itself_a_form_with_files_is_answered_in_json(wire):
    headers = {"Content-Type": "multipart/form-data"}
    answer = wire.post(STARCODER, {"prompt": "x"}, headers=headers)
    assert answer.headers["Content-Type"].startswith("application/json")


def said(*roles: str) -> list[dict[str, str]]:
    return [{"role": role, "content": "x"} for role in roles]


MESSAGES = {
    "none": ([], 336003),
    "two": (said("user", "assistant"), 336006),
    "four": (talk("a", "b", "c", "d"), 336006),
    "assistant alone": (said("assistant"), 336006),
    "user three times": (said("user", "user", "user"), 336006),
    "assistant first": (said("assistant", "user", "assistant"), 336006),
    "system first": (said("system", "user", "assistant"), 336006),
    "unknown role": (said("robot"), 336006),
    "no role": ([{"content": "x"}], 336006),
    "no content": ([{"role": "user"}], 336001),
    "empty content": (talk(""), 336003),
    "blank content": (talk(" \n\t"), 336003),
    "empty answer": (talk("a", "", "c"), 336003),
    "content a number": (talk(1), 336003),
    "content a list": (talk(["x"]), 336003),
    "message a text": (["hi"], 336003),
    "messages a text": ("hi", 336003),
    "messages an object": ({"role": "user", "content": "x"}, 336003),
}


@pytest.mark.parametrize(("messages", "code"), MESSAGES.values(), ids=MESSAGES)
def test_wrong_messages_are_refused(wire, messages, code):
    assert wire.code(DOLLY, {"messages": messages}) == code


@pytest.mark.parametrize("count", [1, 3, 9])
def test_odd_number_of_messages_is_answered(wire, count):
    assert wire.code(DOLLY, {"messages": talk(*["x"] * count)}) == 0


@pytest.mark.parametrize("prompt", ["", " \n", 1, ["x"]])
def test_wrong_prompt_is_refused(wire, prompt):
    assert wire.code(STARCODER, {"prompt": prompt}) == 336003


# 4,800 characters in all messages together: Dolly-12B's document.
@pytest.mark.parametrize(
    ("contents", "code"),
    [
        (["x" * 4_800], 0),
        (["x" * 4_801], 336007),
        (["长" * 4_800], 0),
        (["长" * 4_801], 336007),
        (["x" * 2_000, "y" * 2_000, "z" * 800], 0),
        (["x" * 2_000, "y" * 2_000, "z" * 801], 336007),
    ],
)
def test_dolly_takes_4800_characters(wire, contents, code):
    assert wire.code(DOLLY, {"messages": talk(*contents)}) == code


@pytest.mark.parametrize("service", [STARCODER, AQUILA, STABLE])
def test_others_have_no_limit_of_characters(wire, service):
    assert wire.code(service, {"prompt": "x" * 10_000}) == 0


@pytest.mark.parametrize(("tokens", "code"), [(4_096, 0), (4_097, 336103)])
def test_stablelm_reads_4096_tokens(wire, tokens, code):
    assert wire.code(STABLE, {"prompt": "字" * tokens}) == code


def test_refusal_has_code_and_words(wire):
    assert list(wire.post(DOLLY, {"messages": []}).json()) == ["error_code", "error_msg"]


# --- parameters: the ranges of the documents' tables

RANGES = {
    "temperature": ([0.01, 0.5, 1.0, 1], [0, 0.0, -0.1, 1.01, "0.5", True, None, [0.5]]),
    "top_p": ([0, 0.0, 0.5, 1.0], [-0.01, 1.01, "0.5", True, None]),
    "top_k": ([1, 5, 10_000], [0, -1, 1.5, "1", True, None]),
    "penalty_score": ([1, 1.0, 1.5, 2.0], [0.99, 2.01, "1", None]),
    "stop": (
        [[], ["END"], ["a", "b", "c", "d"], ["x" * 20], ["长" * 20]],
        ["END", ["a", "b", "c", "d", "e"], ["x" * 21], [1], [None], None],
    ),
    "user_id": (["li", "长城"], [1, ["li"], None]),
    "stream": ([False, True], ["true", 1, 0, None]),
}
CHAT_RANGES = {
    "max_output_tokens": ([2, 100, 2_048], [1, 2_049, 2.5, "100", None]),
    "system": (["Be brief."], [1, None]),
    "response_format": (["text", "json_object"], ["xml", None]),
    "disable_search": ([True, False], ["true", 1]),
    "enable_citation": ([True, False], ["true", 1]),
}


def cases(which: int, *tables: dict[str, tuple[list, list]]) -> list[tuple[str, Any]]:
    return [(name, v) for table in tables for name, row in table.items() for v in row[which]]


def asked_with(service: str, name: str, value: Any) -> dict[str, Any]:
    return {**asked(service, "hi"), name: value}


@pytest.mark.parametrize(("name", "value"), cases(0, RANGES, CHAT_RANGES))
def test_chat_takes_what_is_in_range(wire, name, value):
    assert "error_code" not in wire.post(DOLLY, asked_with(DOLLY, name, value)).text


@pytest.mark.parametrize(("name", "value"), cases(1, RANGES, CHAT_RANGES))
def test_chat_refuses_what_is_out_of_range(wire, name, value):
    assert wire.code(DOLLY, asked_with(DOLLY, name, value)) == 336003


@pytest.mark.parametrize(("name", "value"), cases(0, RANGES))
def test_completion_takes_what_is_in_range(wire, name, value):
    assert "error_code" not in wire.post(STARCODER, asked_with(STARCODER, name, value)).text


@pytest.mark.parametrize(("name", "value"), cases(1, RANGES))
def test_completion_refuses_what_is_out_of_range(wire, name, value):
    assert wire.code(STARCODER, asked_with(STARCODER, name, value)) == 336003


@pytest.mark.parametrize(("name", "value"), cases(1, CHAT_RANGES))
def test_completion_passes_over_what_only_chats_know(wire, name, value):
    assert wire.code(STARCODER, asked_with(STARCODER, name, value)) == 0


@pytest.mark.parametrize("name", RANGES)
def test_refusal_names_the_parameter(wire, name):
    assert name in wire.ask(STARCODER, "hi", **{name: {}})["error_msg"]


def test_parameter_that_nobody_knows_is_passed_over(wire):
    assert "result" in wire.ask(STARCODER, "hi", nonsense=1)


# --- the shapes of the answers, field for field as in the documents' examples

WHOLE_CHAT = "id object created result is_truncated need_clear_history usage"
WHOLE_COMPLETION = "id object created result is_safe usage"
CHUNK_CHAT = "id object created sentence_id is_end is_truncated result need_clear_history usage"
CHUNK_COMPLETION = "id object created sentence_id is_end result is_safe usage"
USAGE = ["prompt_tokens", "completion_tokens", "total_tokens"]


def shapes(chat: str, completion: str) -> list[tuple[str, list[str]]]:
    """Pair each service, without and with a prefix, with the fields of its answers."""
    pairs = []
    for service in SERVICES.values():
        folder, name = service.rsplit("/", 1)
        fields = (chat if service == DOLLY else completion).split()
        pairs += [(service, fields), (f"{folder}/ngxxxol8_{name}", fields)]
    return pairs


@pytest.mark.parametrize(("service", "fields"), shapes(WHOLE_CHAT, WHOLE_COMPLETION))
def test_whole_answer_has_the_documents_fields(wire, service, fields):
    assert list(wire.ask(service, "hi")) == fields


@pytest.mark.parametrize(("service", "fields"), shapes(CHUNK_CHAT, CHUNK_COMPLETION))
def test_each_chunk_has_the_documents_fields(wire, service, fields):
    assert {tuple(chunk) for chunk in wire.stream(service, "hi")} == {tuple(fields)}


each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)
WHOLE_TYPES = {"id": str, "object": str, "created": int, "result": str, "usage": dict}
CHUNK_TYPES = WHOLE_TYPES | {"sentence_id": int, "is_end": bool}


@each_service
def test_fields_of_a_whole_answer_have_their_types(wire, service):
    answer = wire.ask(service, "hi")
    assert {name: type(answer[name]) for name in WHOLE_TYPES} == WHOLE_TYPES


@each_service
def test_fields_of_a_chunk_have_their_types(wire, service):
    chunk = wire.stream(service, "hi")[0]
    assert {name: type(chunk[name]) for name in CHUNK_TYPES} == CHUNK_TYPES


@each_service
def test_usage_has_its_three_counts(wire, service):
    assert list(wire.ask(service, "hi")["usage"]) == USAGE


@pytest.mark.parametrize(
    ("service", "kind"), [(DOLLY, "chat.completion"), (STARCODER, "completion")]
)
def test_object_says_the_kind(wire, service, kind):
    assert wire.ask(service, "hi")["object"] == kind


@each_service
def test_id_looks_like_the_services(wire, service):
    letters = wire.ask(service, "hi")["id"].removeprefix("as-")
    assert (len(letters), letters.isalnum()) == (10, True)


def test_created_is_now(wire):
    assert abs(wire.ask(DOLLY, "hi")["created"] - time.time()) < 60


def test_good_chat_has_nothing_to_object(wire):
    answer = wire.ask(DOLLY, "hi")
    assert (answer["is_truncated"], answer["need_clear_history"]) == (False, False)


def test_good_completion_is_safe(wire):
    assert wire.ask(STARCODER, "hi")["is_safe"] == 1


# --- the stream


def test_stream_is_an_event_stream(wire):
    answer = wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")


def test_stream_holds_nothing_but_data_lines(wire):
    raw = wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True}).content
    events = raw.decode("utf-8").removesuffix("\n\n").split("\n\n")
    assert [event for event in events if not event.startswith('data: {"id":')] == []


@each_service
def test_chunks_are_numbered_from_zero(wire, service):
    chunks = wire.stream(service, "hi")
    assert [chunk["sentence_id"] for chunk in chunks] == list(range(len(chunks)))


@each_service
def test_only_the_last_chunk_is_the_end(wire, service):
    ends = [chunk["is_end"] for chunk in wire.stream(service, "hi")]
    assert ends == [False] * (len(ends) - 1) + [True]


@each_service
def test_chunks_of_one_answer_have_one_id(wire, service):
    assert len({chunk["id"] for chunk in wire.stream(service, "hi")}) == 1


@each_service
def test_stream_says_what_the_whole_answer_says(wire, service):
    assert text_of(wire.stream(service, MAX_MIN)) == wire.ask(service, MAX_MIN)["result"]


def test_answer_comes_in_many_chunks(wire):
    assert len(wire.stream(DOLLY, WALL)) > 10


def test_chunks_arrive_one_by_one(make_wire):
    """With a pace that never ends the first chunk is there all the same."""
    wire = make_wire(pace=3_600)
    body = asked(DOLLY, WALL) | {"stream": True}
    with wire.post(DOLLY, body, stream=True) as answer:
        assert b'"sentence_id": 0' in next(answer.iter_lines())


# --- usage


@each_service
def test_total_is_the_sum_in_a_whole_answer(wire, service):
    prompt, completion, total = wire.ask(service, WALL)["usage"].values()
    assert prompt + completion == total


def usages(wire: Wire, service: str, text: str, name: str) -> list[int]:
    return [chunk["usage"][name] for chunk in wire.stream(service, text)]


def test_dolly_counts_only_in_the_last_chunk(wire):
    counts = usages(wire, DOLLY, WALL, "completion_tokens")
    assert (set(counts[:-1]), counts[-1] > 0) == ({0}, True)


def test_total_of_dolly_is_the_prompts_until_the_last_chunk(wire):
    chunks = wire.stream(DOLLY, WALL)
    prompt = chunks[0]["usage"]["prompt_tokens"]
    assert {chunk["usage"]["total_tokens"] for chunk in chunks[:-1]} == {prompt}


def test_stablelm_counts_each_chunk_alone(wire):
    chunks = wire.stream(STABLE, "Introduce the city Beijing")
    answer = chunks[-1]["usage"]["total_tokens"] - chunks[-1]["usage"]["prompt_tokens"]
    assert 0 < max(chunk["usage"]["completion_tokens"] for chunk in chunks) < answer


def test_each_total_of_stablelm_is_the_one_before_and_its_own_count(wire):
    """As in its document's example: 5 + 67 = 72, and 72 + 24 = 96."""
    usages = [chunk["usage"] for chunk in wire.stream(STABLE, "Introduce the city Beijing")]
    counts = [usages[0]["prompt_tokens"], *(usage["completion_tokens"] for usage in usages)]
    assert [usage["total_tokens"] for usage in usages] == list(accumulate(counts))[1:]


def test_total_of_stablelm_grows(wire):
    totals = usages(wire, STABLE, "Introduce the city Beijing", "total_tokens")
    assert (totals, totals[0] < totals[-1]) == (sorted(totals), True)


@each_service
def test_stream_ends_with_the_total_of_the_whole_answer(wire, service):
    whole = wire.ask(service, WALL)["usage"]["total_tokens"]
    assert usages(wire, service, WALL, "total_tokens")[-1] == whole


# Chinese characters + words * 1.3: StarCoder's document.
@pytest.mark.parametrize(("prompt", "tokens"), [("计算数组", 4), ("a b c d e f g h i j", 13)])
def test_tokens_are_counted_as_the_document_estimates(wire, prompt, tokens):
    assert wire.ask(STARCODER, prompt)["usage"]["prompt_tokens"] == tokens


def test_messages_of_a_chat_are_counted_together(wire):
    alone = wire.ask(DOLLY, "How long is it?")["usage"]["prompt_tokens"]
    later = wire.ask(DOLLY, talk(WALL, "A wall.", "How long is it?"))["usage"]["prompt_tokens"]
    assert later > alone


# --- seeds


@each_service
def test_same_seed_gives_the_same_chunks(make_wire, service):
    first, second = (make_wire(seed=7).stream(service, WALL) for _ in range(2))
    assert [c["result"] for c in first] == [c["result"] for c in second]


def test_same_seed_gives_the_same_text_once_more(wire):
    assert wire.ask(DOLLY, "hi")["result"] == wire.ask(DOLLY, "hi")["result"]


def test_other_seeds_give_other_texts(make_wire):
    assert len({make_wire(seed=seed).ask(DOLLY, "hi")["result"] for seed in range(8)}) > 1


def test_other_seeds_give_other_chunks(make_wire):
    cuts = {len(make_wire(seed=seed).stream(DOLLY, WALL)) for seed in range(8)}
    assert len(cuts) > 1


# --- stop and max_output_tokens


def test_answer_ends_with_the_stop(wire):
    assert wire.ask(STARCODER, "def is_prime(n):", stop=["return"])["result"].endswith("return")


def test_answer_up_to_the_stop_is_unchanged(wire):
    whole = wire.ask(STARCODER, "def is_prime(n):")["result"]
    cut = wire.ask(STARCODER, "def is_prime(n):", stop=["return"])["result"]
    assert (whole.startswith(cut), cut.count("return")) == (True, 1)


@pytest.mark.parametrize("stop", [["return", "divisor"], ["divisor", "return"]])
def test_first_of_several_stops_counts(wire, stop):
    text = wire.ask(STARCODER, "def is_prime(n):", stop=stop)["result"]
    assert text.count("divisor") + text.count("return") == 1


def test_stop_that_does_not_occur_changes_nothing(wire):
    assert wire.ask(DOLLY, WALL, stop=["nonsense"])["result"] == wire.ask(DOLLY, WALL)["result"]


def test_stop_is_not_called_truncated(wire):
    assert wire.ask(DOLLY, WALL, stop=["BC"])["is_truncated"] is False


def test_stop_holds_in_a_stream_too(wire):
    assert text_of(wire.stream(DOLLY, WALL, stop=["BC"])).endswith("BC")


def test_answer_keeps_to_max_output_tokens(wire):
    assert 0 < wire.ask(DOLLY, WALL, max_output_tokens=10)["usage"]["completion_tokens"] <= 10


def test_answer_that_was_cut_is_truncated(wire):
    assert wire.ask(DOLLY, WALL, max_output_tokens=10)["is_truncated"] is True


def test_answer_that_was_cut_begins_like_the_whole(wire):
    cut = wire.ask(DOLLY, WALL, max_output_tokens=10)["result"]
    assert (wire.ask(DOLLY, WALL)["result"].startswith(cut), len(cut) > 0) == (True, True)


def test_answer_within_max_output_tokens_is_whole(wire):
    answer = wire.ask(DOLLY, WALL, max_output_tokens=2_048)
    assert (answer["is_truncated"], answer["result"]) == (False, wire.ask(DOLLY, WALL)["result"])


def test_only_the_last_chunk_is_truncated(wire):
    cut = [chunk["is_truncated"] for chunk in wire.stream(DOLLY, WALL, max_output_tokens=10)]
    assert cut == [False] * (len(cut) - 1) + [True]


# --- faults


def test_fault_sends_the_services_error(wire):
    wire.server.fail(Fault(error_code=336100, error_msg="too many people"))
    assert wire.ask(DOLLY, "hi") == {"error_code": 336100, "error_msg": "too many people"}


def test_fault_happens_once(wire):
    wire.server.fail(Fault(error_code=336100))
    assert [wire.code(DOLLY, asked(DOLLY, "hi")) for _ in range(2)] == [336100, 0]


def test_faults_happen_in_turn(wire):
    wire.server.fail(Fault(error_code=1), Fault(error_code=2))
    assert [wire.code(DOLLY, asked(DOLLY, "hi")) for _ in range(3)] == [1, 2, 0]


def test_fault_sends_a_status_with_headers_and_a_body(wire):
    wire.server.fail(Fault(status=503, headers={"Retry-After": "3"}, body=b"<h1>Busy</h1>"))
    answer = wire.post(DOLLY, asked(DOLLY, "hi"))
    seen = answer.status_code, answer.headers["Retry-After"], answer.content
    assert seen == (503, "3", b"<h1>Busy</h1>")


def test_fault_of_the_token_endpoint_spares_the_service(wire):
    token = wire.token
    wire.server.fail(Fault(status=500, path="/oauth/"))
    assert "result" in wire.post(STARCODER, {"prompt": "x"}, token=token).json()


def test_fault_of_the_token_endpoint_hits_it(wire):
    wire.server.fail(Fault(status=500, path="/oauth/"))
    assert [wire.token_response().status_code for _ in range(2)] == [500, 200]


def test_fault_of_the_service_spares_the_token_endpoint(wire):
    wire.server.fail(Fault(status=500))
    assert wire.token_response().status_code == 200


def test_error_comes_in_the_middle_of_a_stream_as_bare_json(wire):
    wire.server.fail(Fault(error_code=336000, error_msg="x", after=2))
    raw = wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True}).text
    assert (raw.count("data: "), json.loads(raw.split("\n\n")[-1])["error_code"]) == (2, 336000)


def test_body_comes_in_the_middle_of_a_stream(wire):
    wire.server.fail(Fault(body=b"data: {bro", after=2))
    raw = wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True}).text
    assert raw.endswith("\n\ndata: {bro")


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("after", [0, 2])
def test_connection_ends_too_soon(wire, end, after):
    wire.server.fail(Fault(end=end, after=after))
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True})


@pytest.mark.parametrize("end", ["close", "reset"])
def test_chunks_before_the_end_went_out(wire, end):
    wire.server.fail(Fault(end=end, after=2))
    with pytest.raises(requests.RequestException):
        wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True})
    assert wire.server.seen[-1].sent == 2


@pytest.mark.parametrize("after", [0, 2])
def test_connection_falls_silent(wire, after):
    assert wire.token
    wire.server.fail(Fault(end="silence", after=after))
    with pytest.raises((requests.ConnectionError, requests.Timeout)):
        wire.post(DOLLY, asked(DOLLY, WALL) | {"stream": True}, timeout=0.2)


def test_silence_ends_when_the_client_goes(wire):
    assert wire.token
    wire.server.fail(Fault(end="silence"))
    with pytest.raises(requests.RequestException):
        wire.post(DOLLY, asked(DOLLY, WALL), timeout=0.2)
    assert until(lambda: wire.server.seen[-1].closed_early)


FIELDS = {"need_clear_history": True, "ban_round": -1}


def test_fields_are_put_into_a_whole_answer(wire):
    wire.server.fail(Fault(fields=FIELDS))
    answer = wire.ask(DOLLY, "hi")
    assert {name: answer[name] for name in FIELDS} == FIELDS


def test_fields_are_put_into_every_chunk(wire):
    wire.server.fail(Fault(fields=FIELDS))
    assert {chunk.get("ban_round") for chunk in wire.stream(DOLLY, "hi")} == {-1}


# --- what is seen, and who is let in


def test_requests_are_written_down_without_the_token(wire):
    wire.ask(DOLLY, "hi")
    assert wire.token not in repr(wire.server.seen)


def test_body_is_written_down_as_it_came(wire):
    wire.post(STARCODER, b'{"prompt" :  "x"}')
    assert wire.server.seen[-1].body == b'{"prompt" :  "x"}'


def test_sent_chunks_are_counted(wire):
    chunks = wire.stream(DOLLY, WALL)
    assert wire.server.seen[-1].sent == len(chunks)


def test_answer_that_was_read_to_its_end_was_not_closed_early(wire):
    wire.stream(DOLLY, WALL)
    wire.ask(DOLLY, "hi")
    assert [seen.closed_early for seen in wire.server.seen] == [False] * 3


def test_closed_connection_ends_the_stream(make_wire):
    wire = make_wire(pace=0.02)
    body = asked(DOLLY, WALL) | {"stream": True}
    with wire.post(DOLLY, body, stream=True) as answer:
        next(answer.iter_lines())
    assert until(lambda: wire.server.seen[-1].closed_early)


def test_nothing_more_is_sent_on_a_closed_connection(make_wire):
    wire = make_wire(pace=0.02)
    body = asked(DOLLY, WALL) | {"stream": True}
    with wire.post(DOLLY, body, stream=True) as answer:
        next(answer.iter_lines())
    until(lambda: wire.server.seen[-1].closed_early)
    assert wire.server.seen[-1].sent < len(make_wire().stream(DOLLY, WALL))


def refuses(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(PATIENCE)
        return client.connect_ex((address, port)) != 0


@pytest.mark.parametrize("address", ["127.0.0.2", "::1"])
def test_only_127_0_0_1_is_listened_on(wire, address):
    assert refuses(address, int(wire.server.base_url.rpartition(":")[2]))


def test_base_url_is_on_this_computer(wire):
    assert wire.server.base_url.startswith("http://127.0.0.1:")


def test_stopped_server_lets_nobody_in(make_wire):
    wire = make_wire()
    wire.server.stop()
    assert refuses("127.0.0.1", int(wire.server.base_url.rpartition(":")[2]))


def test_stop_ends_a_stream_that_is_under_way(make_wire):
    wire = make_wire(pace=0.02)
    body = asked(DOLLY, WALL) | {"stream": True}
    with wire.post(DOLLY, body, stream=True) as answer:
        lines = answer.iter_lines()
        next(lines)
        wire.server.stop()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(lines)


def test_server_may_be_stopped_twice(make_wire):
    server = make_wire().server
    server.stop()
    server.stop()
    assert not server._thread.is_alive()


def test_port_that_is_taken_is_said(wire):
    port = int(wire.server.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match="in use"):
        EmbeddedServer(port=port).start()


def test_port_can_be_chosen(make_wire):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert make_wire(port=port).server.base_url.endswith(f":{port}")


def test_environment_leads_to_the_server(wire):
    variables = wire.server.environment()
    query = {"grant_type": "client_credentials", "client_id": variables["QIANFAN_AK"]}
    query["client_secret"] = variables["QIANFAN_SK"]
    answer = wire.session.get(variables["QIANFAN_BASE_URL"] + TOKEN, params=query)
    assert "access_token" in answer.json()


def test_token_is_not_logged_with_an_address_that_is_refused(wire, caplog):
    wire.post(STARCODER, {"prompt": "x"}, headers={"Content-Type": "multipart/form-data"})
    assert wire.token not in caplog.text


# --- what it says: the documents' own questions, and all others


def test_greeting_is_returned(wire):
    assert wire.ask(DOLLY, "hi")["result"].strip().startswith(("Hi", "Hello"))


def test_great_wall_is_introduced(wire):
    assert "Great Wall of China" in wire.ask(DOLLY, WALL)["result"]


def test_beijing_is_introduced_in_a_conversation(wire):
    messages = talk(WALL, "It is a wall.", "Please introduce Beijing")
    assert "capital of China" in wire.ask(DOLLY, messages)["result"]


def test_sentence_about_beijing_goes_on(wire):
    result = wire.ask(STABLE, "Introduce the city Beijing")["result"]
    assert (result[:2], "China" in result) == (", ", True)


@pytest.mark.parametrize("service", [STARCODER, AQUILA])
def test_maximum_and_minimum_are_python_that_works(wire, service):
    code = wire.ask(service, MAX_MIN)["result"]
    names: dict[str, Any] = {}
    exec(compile(code, "answer", "exec"), names)
    function = names[ast.parse(code).body[0].name]
    assert sorted(function([3, 1, 4, 1, 5, 9, 2, 6])) == [1, 9]


@pytest.mark.parametrize("length", [(WALL, "A wall."), ("请介绍长城", "长城是一道墙。")])
def test_question_is_understood_from_what_was_said_before(wire, length):
    assert "21,196" in wire.ask(DOLLY, talk(*length, "How long is it?"))["result"]


def test_question_without_what_was_said_before_is_not_understood(wire):
    assert "21,196" not in wire.ask(DOLLY, "How long is it?")["result"]


@pytest.mark.parametrize(("name", "service"), SERVICES.items())
def test_anything_else_is_answered_honestly(wire, name, service):
    result = wire.ask(service, "What is the meaning of life?")["result"]
    assert ("no language model" in result, name in result) == (True, True)


def test_honest_answer_says_what_arrived(wire):
    result = wire.ask(DOLLY, "Will it rain?", temperature=0.2, top_k=5)["result"]
    assert ("13 characters" in result, "temperature=0.2, top_k=5" in result) == (True, True)


def test_honest_answer_of_a_completion_is_a_comment(wire):
    """So that a program stays one."""
    assert compile(wire.ask(STARCODER, "x = 1")["result"], "answer", "exec")
