"""No secret remains in what a failure leaves behind: errors, their causes, reprs and logs."""

from __future__ import annotations

import json
import logging
import pickle
import ssl
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import chain, product
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import pytest
import trustme
from support.raw_server import Answer, RawServer, Seen, bearer_answer, json_answer, stream_answer

from qianfan_magic import QianfanClient, QianfanError, masking
from qianfan_magic.api.wire.error_codes import CODES

HELLO = [{"role": "user", "content": "hi"}]
WAYS = ("chat", "stream_chat")
#: With characters that addresses, JSON and HTML encode.
V1_CREDENTIALS = {
    "keys": {"ak": "api+key/one=", "sk": "secret+key/two=="},
    "signature": {"access_key": "access+key/three=", "secret_key": "secret+key/four=="},
    "token": {"access_token": "given+token/five=="},
}
V2_CREDENTIALS = {
    "bearer token": {"bearer_token": "bce-v3/ALTAK-given+six=/seven=="},
    "access keys": {"access_key": "access+key/eight=", "secret_key": "secret+key/nine=="},
}
PROXY = "http://user:proxy+password@"

Script = Answer | Callable[[Seen], Answer]


def secrets_sent(request: Seen) -> list[str]:
    """Return the secrets in a request: its credentials and, alone, its token or signature."""
    authorization = request.headers.get("authorization", "")
    is_bearer = authorization.startswith("Bearer ")
    alone = authorization.removeprefix("Bearer ") if is_bearer else authorization[-64:]
    queried = [request.query.get(name) for name in ("access_token", "client_id", "client_secret")]
    return [secret for secret in (authorization, alone, *queried) if secret]


def spellings(secret: str) -> dict[str, str]:
    percent = quote(secret, safe="")
    return {
        "plain": secret,
        "percent-encoded": percent,
        "percent-encoded except slashes": quote(secret),
        "percent-encoded in lower case": percent.replace("%2F", "%2f").replace("%3D", "%3d"),
        "form-encoded": quote_plus(secret),
        "JSON with escaped slashes": secret.replace("/", "\\/"),
        "HTML": escape(secret),
    }


# --- responses that repeat the secrets of their request


def echo(status: int = 200, **payload: Any) -> Script:
    """Answer with JSON in which the secrets of the request replace each None."""

    def answer(request: Seen) -> Answer:
        secrets = " ; ".join(secrets_sent(request))
        filled = {name: secrets if value is None else value for name, value in payload.items()}
        return json_answer(filled, status=status)

    return answer


def echo_v2_error(status: int, message: str | None = None, **error: Any) -> Script:
    """Answer with an error of version 2 in which the secrets of the request replace each None."""

    def answer(request: Seen) -> Answer:
        secrets = " ; ".join(secrets_sent(request))
        fields = error | {"message": message}
        filled = {name: secrets if value is None else value for name, value in fields.items()}
        return json_answer({"error": filled, "id": secrets}, status=status)

    return answer


def echo_html(status: int) -> Script:
    def answer(request: Seen) -> Answer:
        page = f"<title>{status}</title>{request.target} {secrets_sent(request)}".encode()
        return Answer(status=status, headers={"Content-Type": "text/html"}, pieces=[page])

    return answer


def echo_location(request: Seen) -> Answer:
    location = f"http://qianfan.invalid{request.target}&then={secrets_sent(request)}"
    return Answer(status=302, headers={"Location": location})


def echo_invalid_event(first: dict[str, Any]) -> Script:
    return lambda request: stream_answer(
        first, f"data: no JSON, {secrets_sent(request)}\n\n".encode()
    )


def echo_v1_error_event(request: Seen) -> Answer:
    error = {"error_code": 336000, "error_msg": " ".join(secrets_sent(request))}
    return stream_answer(V1_CHUNK, json.dumps(error).encode())


def echo_v2_error_event(request: Seen) -> Answer:
    error = {"error": {"code": "internal_error", "message": " ".join(secrets_sent(request))}}
    return stream_answer(V2_CHUNK, error)


def echo_choice(request: Seen) -> Answer:
    return json_answer({"choices": [" ".join(secrets_sent(request))]})


def echo_iam_headers(request: Seen) -> Answer:
    words = " ".join(secrets_sent(request))
    headers = {"X-Bce-Error-Code": words, "X-Bce-Error-Message": words}
    return json_answer({}, status=401, headers=headers)


V1_CHUNK = {"result": "he"}
V2_CHUNK = {"choices": [{"index": 0, "delta": {"content": "he"}}]}
RESET = Answer(status=0, end="reset")
SILENCE = Answer(status=0, end="silent")

V1_ANSWERS: dict[str, Script] = {
    "reset": RESET,
    "silence": SILENCE,
    "too short": json_answer({"result": "x"}, headers={"Content-Length": 999}),
    "incomplete JSON": Answer(pieces=[b'{"result": "x']),
    "other JSON": json_answer({"object": "list"}),
    "HTML": echo_html(200),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 500": echo_html(500),
    "JSON of a gateway": echo(502, error=None),
    "secret as code": echo(error_code=None, error_msg="no"),
    "secret as id": echo(error_code=336003, error_msg="no", id=None),
    "redirect": echo_location,
}
V1_CODES: dict[str, Script] = {
    f"error {code}": echo(error_code=code, error_msg=None) for code in CODES
}
V1_STREAMS: dict[str, Script] = {
    "reset": stream_answer(V1_CHUNK, end="reset"),
    "silence": stream_answer(V1_CHUNK, end="silent"),
    "invalid event": echo_invalid_event(V1_CHUNK),
    "error": echo_v1_error_event,
}
V2_ANSWERS: dict[str, Script] = {
    "reset": RESET,
    "silence": SILENCE,
    "too short": json_answer({"choices": []}, headers={"Content-Length": 999}),
    "incomplete JSON": Answer(pieces=[b'{"choices": ["x']),
    "JSON of version 1": echo(result=None),
    "no choice": echo_choice,
    "HTML": echo_html(200),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 500": echo_html(500),
    "JSON of a gateway": echo(401, code="InvalidHTTPAuthHeader", message=None),
    "error as text": echo(502, error=None),
    "secret as code": echo_v2_error(400, code=None),
    "secret as type": echo_v2_error(400, type=None),
    "redirect": echo_location,
}
V2_CODES: dict[str, Script] = {
    f"error {code}": echo_v2_error(401, code=code)
    for code in (
        *(code for code in CODES if isinstance(code, str)),
        *("rpm_rate_limit_exceeded", "system_unsafe", "coding_plan_api_key_required", "unheard_of"),
    )
}
V2_STREAMS: dict[str, Script] = {
    "reset": stream_answer(V2_CHUNK, end="reset"),
    "silence": stream_answer(V2_CHUNK, end="silent"),
    "no end": stream_answer(V2_CHUNK),
    "invalid event": echo_invalid_event(V2_CHUNK),
    "error": echo_v2_error_event,
}
TOKEN_ANSWERS: dict[str, Script] = {
    "reset": RESET,
    "HTTP 401 HTML": echo_html(401),
    "HTTP 503": echo_html(503),
    "unknown client": echo(401, error="invalid_client", error_description="unknown client id"),
    "secret as description": echo(401, error="invalid_client", error_description=None),
    "secret as error": echo(401, error=None, error_description="no"),
    "no token": echo(message=None),
    "error code": echo(error_code=13, error_msg=None),
    "redirect": echo_location,
}
IAM_ANSWERS: dict[str, Script] = {
    "reset": RESET,
    "HTTP 401 HTML": echo_html(401),
    "HTTP 503": echo_html(503),
    "unknown key": echo(401, code="NotFound", message=None),
    "secret as code": echo(401, code=None, message="no"),
    "headers": echo_iam_headers,
    "no token": echo(userId=None),
    "secrets as times": echo(token="bce-v3/x/y", createTime=None, expireTime=None),
    "redirect": echo_location,
}
V1_UNREACHABLE = {
    "unknown host": {"base_url": "http://nowhere.invalid"},
    "refused port": {"base_url": "http://127.0.0.1:1"},
    "impossible port": {"base_url": "http://127.0.0.1:99999"},
    "impossible host": {"base_url": "http://" + "a" * 70 + ".invalid"},
    "refused proxy": {"proxy": f"{PROXY}127.0.0.1:1"},
    "unknown proxy": {"proxy": f"{PROXY}nowhere.invalid:1"},
    "impossible proxy": {"proxy": f"{PROXY}nowhere.invalid:1".replace("http", "ftp")},
}
V2_UNREACHABLE = {
    "unknown host": {"console_api_base_url": "http://nowhere.invalid"},
    "refused port": {"console_api_base_url": "http://127.0.0.1:1"},
    "impossible port": {"console_api_base_url": "http://127.0.0.1:99999"},
    "unknown host of IAM": {"iam_base_url": "http://nowhere.invalid"},
    "refused port of IAM": {"iam_base_url": "http://127.0.0.1:1"},
    "refused proxy": {"proxy": f"{PROXY}127.0.0.1:1"},
}


@dataclass(frozen=True)
class Api:
    """One version of the API: its credentials, and how a request can fail."""

    model: str | None
    log_line: str
    credentials: dict[str, dict[str, str]]
    answers: dict[str, Script]
    #: Errors with each code that the package describes.
    codes: dict[str, Script]
    streams: dict[str, Script]
    complete_stream: Answer
    #: Settings with which the server cannot be reached.
    unreachable: dict[str, dict[str, str]]
    #: An error whose message is a given text.
    error: Callable[[str | None], Script]
    #: The credentials with which the client requests a token.
    token_credentials: dict[str, str]
    #: The queue of the server's responses to token requests.
    token_queue: Literal["tokens", "bearers"]
    token: Answer
    token_answers: dict[str, Script]
    token_expired: Script


V1 = Api(
    model=None,
    log_line="POST /rpc/2.0/ai_custom",
    credentials=V1_CREDENTIALS,
    answers=V1_ANSWERS,
    codes=V1_CODES,
    streams=V1_STREAMS,
    complete_stream=stream_answer({"result": "x", "is_end": True}),
    unreachable=V1_UNREACHABLE,
    error=lambda text: echo(error_code=14, error_msg=text),
    token_credentials=V1_CREDENTIALS["keys"],
    token_queue="tokens",
    token=json_answer({"access_token": f"24.{1:032x}", "expires_in": 9e5}),
    token_answers=TOKEN_ANSWERS,
    token_expired=echo(error_code=110, error_msg=None),
)
V2 = Api(
    model="ernie-5.1",
    log_line="POST /v2/chat/completions",
    credentials=V2_CREDENTIALS,
    answers=V2_ANSWERS,
    codes=V2_CODES,
    streams=V2_STREAMS,
    complete_stream=stream_answer(V2_CHUNK, b"data: [DONE]\n\n"),
    unreachable=V2_UNREACHABLE,
    error=lambda text: echo_v2_error(400, text, code="invalid_argument"),
    token_credentials=V2_CREDENTIALS["access keys"],
    token_queue="bearers",
    token=bearer_answer("bce-v3/ALTAK-first+one=/two=="),
    token_answers=IAM_ANSWERS,
    token_expired=echo_v2_error(401, code="invalid_iam_token"),
)


def combinations(
    api: Api, failures: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, str], str, Any]]:
    """Yield each failure with each kind of credentials, and with both ways in turn.

    Yields
    ------
    tuple
        A name for messages, the credentials, the client's method, and the failure.
    """
    kinds, named = enumerate(api.credentials.items()), enumerate(failures.items())
    for (row, (kind, keys)), (column, (name, failure)) in product(kinds, named):
        way = WAYS[(row + column) % 2]
        yield f"{name}, {kind}, {way}", keys, way, failure


# --- where secrets are looked for


class Records(logging.Handler):
    """Collects every log record, formatted and as it is."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(vars(record)))

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def records() -> Iterator[Records]:
    root, handler = logging.getLogger(), Records()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def text_of(error: BaseException) -> str:
    """Return an error with its causes, contexts, arguments and attributes, also as a pickle."""
    found, waiting, known = [], [error], []
    while waiting:
        each = waiting.pop()
        if any(each is other for other in known):
            continue
        known.append(each)
        found += [str(each), repr(each)]
        if isinstance(each, BaseException):
            found += traceback.format_exception(each)
            waiting += [each.__cause__, each.__context__, *each.args, *vars(each).values()]
    return "\n".join([*found, repr(pickle.dumps(error))])


class LeakFinder:
    """Makes requests and collects, by the request's name, the secrets that each leaves behind.

    All requests of a test share one server; each has a client, a cache folder and a log of its
    own, and masking forgets the secrets of the request before it.
    """

    def __init__(
        self,
        api: Api,
        server: RawServer,
        make_client: Callable[..., QianfanClient],
        records: Records,
        folder: Path,
    ) -> None:
        self.api, self.server, self.records = api, server, records
        self.leaks: dict[str, set[str]] = {}
        self._make_client, self._folder, self._count = make_client, folder, 0

    def client(self, credentials: dict[str, str], **settings: Any) -> QianfanClient:
        """Forget the request before, and make a client for the next one."""
        masking.forget_all()
        queues: list[list[Any]] = [self.server.script, self.server.tokens, self.server.bearers]
        for each in [*queues, *self._received(), self.records.lines]:
            each.clear()
        self._count += 1
        cache = self._folder / f"cache {self._count}"
        return self._make_client(**{"cache_dir": cache} | credentials | settings)

    def fail(
        self, name: str, client: QianfanClient, request: Callable[[], Iterable[object] | object]
    ) -> None:
        """Send a request that fails, and look at all that is left of it."""
        with client:
            try:
                result = request()
                _ = list(result) if isinstance(result, Iterator) else result
            except QianfanError as error:
                described = [client, client.settings, client.settings.credentials]
                self.look(name, client, "\n".join([text_of(error), *map(repr, described)]))
            else:
                pytest.fail(f"{name}: the request did not fail")

    def look(self, name: str, client: QianfanClient, text: str = "") -> None:
        """Look for secrets in a text and in the log."""
        keys = client.settings.credentials
        given = [getattr(keys, slot) for slot in type(keys).__slots__]
        secrets = {secret for secret in given if isinstance(secret, str) and secret}
        secrets |= {"proxy+password", *(f"24.{n:032x}" for n in range(1, 9))}
        secrets.update(*map(secrets_sent, chain(*self._received())))
        left = f"{text}\n{self.records.text}"
        spelt = chain(*(spellings(secret).values() for secret in secrets))
        if found := {spelling for spelling in spelt if spelling in left}:
            self.leaks[name] = found

    def _received(self) -> list[list[Seen]]:
        return [self.server.requests, self.server.token_requests, self.server.bearer_requests]

    def chat(
        self,
        name: str,
        credentials: dict[str, str],
        scripts: dict[str, list[Script]],
        way: str = "chat",
        **settings: Any,
    ) -> None:
        """Send a chat that fails, at most twice; ``scripts`` fills the server's queues by name."""
        client = self.client(credentials, **settings)
        for queue, answers in scripts.items():
            getattr(self.server, queue).extend(answers)
        send, model = getattr(client, way), self.api.model
        timeout = 0.05 if name.startswith("silence") else 2.0
        self.fail(name, client, lambda: send(HELLO, timeout=timeout, retries=2, model=model))


@pytest.fixture(params=[V1, V2], ids=["v1", "v2"])
def api(request) -> Api:
    return request.param


@pytest.fixture
def finder(api, raw_server, make_client, records, tmp_path) -> LeakFinder:
    return LeakFinder(api, raw_server, make_client, records, tmp_path)


def test_failed_request_leaves_no_secret(api, finder):
    for name, keys, way, answer in combinations(api, api.answers):
        finder.chat(name, keys, {"script": [answer] * 2}, way)
    assert finder.leaks == {}


def test_error_code_leaves_no_secret(api, finder):
    for name, answer in api.codes.items():
        finder.chat(name, next(iter(api.credentials.values())), {"script": [answer] * 2})
    assert finder.leaks == {}


def test_failed_stream_leaves_no_secret(api, finder):
    for (kind, keys), (name, answer) in product(api.credentials.items(), api.streams.items()):
        finder.chat(f"{name}, {kind}", keys, {"script": [answer] * 2}, "stream_chat")
    assert finder.leaks == {}


def test_failed_token_request_leaves_no_secret(api, finder):
    for name, answer in api.token_answers.items():
        finder.chat(name, api.token_credentials, {api.token_queue: [answer] * 2})
        assert finder.server.requests == [], name
    assert finder.leaks == {}


def test_failed_renewal_of_a_token_leaves_no_secret(api, finder):
    for name, answer in api.token_answers.items():
        scripts = {"script": [api.token_expired] * 2, api.token_queue: [api.token, answer, answer]}
        finder.chat(name, api.token_credentials, scripts)
        received = finder.server.token_requests + finder.server.bearer_requests
        assert len(received) > 1, name
    assert finder.leaks == {}


def test_unreachable_server_leaves_no_secret(api, finder):
    for name, keys, way, settings in combinations(api, api.unreachable):
        finder.chat(name, keys, {"script": [api.error(None)] * 2}, way, **settings)
    assert finder.leaks == {}


def test_untrusted_certificate_leaves_no_secret(finder):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(context) as server:
        urls = {"base_url": server.url, "console_api_base_url": server.url}
        for (kind, keys), way in product(finder.api.credentials.items(), WAYS):
            finder.chat(f"{kind}, {way}", keys, {}, way, **urls)
        assert server.requests == []
    assert finder.leaks == {}


def test_echoed_secret_is_masked_in_every_spelling(api, finder):
    for kind, keys in api.credentials.items():
        for spelling in spellings(""):
            echoed = " ".join(spellings(secret)[spelling] for secret in keys.values())
            finder.chat(f"{spelling}, {kind}", keys, {"script": [api.error(echoed)]})
    assert finder.leaks == {}


UNKNOWN_TOKENS = {
    "24.fedcba9876543210fedcba9876543210.2592000.1700000000.282335-1234567": "fedcba9876543210",
    "bce-v3/ALTAK-theirs/0123456789": "0123456789",
    "Bearer theirs-0123456789": "theirs-0123",
}


def test_token_of_another_user_is_masked_by_its_format(api, raw_server, make_client):
    for token, secret in UNKNOWN_TOKENS.items():
        raw_server.script += [api.error(f"{token} is theirs")]
        client = make_client(**next(iter(api.credentials.values())))
        with pytest.raises(QianfanError) as caught:
            client.chat(HELLO, model=api.model)
        text = text_of(caught.value)
        assert "is theirs" in text, token
        assert secret not in text, token


def test_successful_request_is_logged_without_secrets(api, finder):
    for (kind, keys), way in product(api.credentials.items(), WAYS):
        client = finder.client(keys)
        finder.server.script += [api.complete_stream]
        result = getattr(client, way)(HELLO, model=api.model)
        _ = list(result) if way == "stream_chat" else result
        finder.look(f"{kind}, {way}", client)
        assert api.log_line in finder.records.text, (kind, way)
    assert finder.leaks == {}


def test_failed_list_of_models_leaves_no_secret(raw_server, make_client, records, tmp_path):
    finder = LeakFinder(V2, raw_server, make_client, records, tmp_path)
    for kind, keys in V2.credentials.items():
        client = finder.client(keys)
        raw_server.script += [echo_v2_error(403, code="unheard_of")] * 2
        finder.fail(kind, client, lambda client=client: client.models(fresh=True))
        assert raw_server.requests, kind
    assert finder.leaks == {}


MASK_A_MEGABYTE = """
from qianfan_magic.masking import mask
mask("http://" + "a:" * 500_000)
"""


def test_masking_takes_linear_time():
    """Trying every colon anew would take half an hour; the time limit is generous on purpose."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MASK_A_MEGABYTE], cwd=root, timeout=20, check=False
    )
    assert done.returncode == 0
