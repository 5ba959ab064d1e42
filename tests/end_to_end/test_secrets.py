"""No secret is in anything that a failure leaves behind: errors, their causes, reprs, logs."""

from __future__ import annotations

import json
import logging
import pickle
import ssl
import subprocess
import sys
import traceback
from html import escape
from itertools import chain
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import trustme
from support.raw_server import Answer, RawServer, Seen, bearer_answer, json_answer, stream_answer

from qianfan_magic import QianfanError
from qianfan_magic.api.wire.error_codes import CODES

HELLO = [{"role": "user", "content": "hi"}]
FIRST = {"result": "he"}
#: With characters that addresses, JSON and HTML write differently.
CREDENTIALS = {
    "keys": {"ak": "api+key/one=", "sk": "secret+key/two=="},
    "signature": {"access_key": "access+key/three=", "secret_key": "secret+key/four=="},
    "token": {"access_token": "given+token/five=="},
}
#: Those of version 2.
CREDENTIALS_2 = {
    "bearer": {"bearer_token": "bce-v3/ALTAK-given+six=/seven=="},
    "access keys": {"access_key": "access+key/eight=", "secret_key": "secret+key/nine=="},
}
KINDS = pytest.mark.parametrize("keys", CREDENTIALS.values(), ids=CREDENTIALS)
KINDS_2 = pytest.mark.parametrize("keys", CREDENTIALS_2.values(), ids=CREDENTIALS_2)
WAYS = pytest.mark.parametrize("way", ["chat", "stream_chat"])


def secrets_sent(seen: Seen) -> list[str]:
    """List what a server learns from a request, and the client's own name and signature in it."""
    authorization = seen.headers.get("authorization", "")
    is_bearer = authorization.startswith("Bearer ")
    alone = authorization.removeprefix("Bearer ") if is_bearer else authorization[-64:]
    queried = [seen.query.get(name) for name in ("access_token", "client_id", "client_secret")]
    return [secret for secret in (authorization, alone, *queried) if secret]


def spellings(secret: str) -> dict[str, str]:
    percent = quote(secret, safe="")
    return {
        "plain": secret,
        "percent-encoded": percent,
        "percent-encoded but for slashes": quote(secret),
        "percent-encoded in small letters": percent.replace("%2F", "%2f").replace("%3D", "%3d"),
        "of a form": quote_plus(secret),
        "of JSON with its slashes escaped": secret.replace("/", "\\/"),
        "of HTML": escape(secret),
    }


# --- what fails, and how


def echo(status: int = 200, **payload):
    """Answer with JSON whose texts, where they are None, repeat the secrets that were sent."""

    def answer(seen: Seen) -> Answer:
        secrets = " ; ".join(secrets_sent(seen))
        said = {name: secrets if value is None else value for name, value in payload.items()}
        return json_answer(said, status=status)

    return answer


def echo_html(status: int):
    def answer(seen: Seen) -> Answer:
        page = f"<title>{status}</title>{seen.target} {secrets_sent(seen)}".encode()
        return Answer(status=status, headers={"Content-Type": "text/html"}, pieces=[page])

    return answer


def echo_location(seen: Seen) -> Answer:
    location = f"http://qianfan.invalid{seen.target}&then={secrets_sent(seen)}"
    return Answer(status=302, headers={"Location": location})


def echo_error_event(seen: Seen) -> Answer:
    error = {"error_code": 336000, "error_msg": " ".join(secrets_sent(seen))}
    return stream_answer(FIRST, json.dumps(error).encode())


def echo_foreign_event(seen: Seen) -> Answer:
    return stream_answer(FIRST, f"data: no JSON, {secrets_sent(seen)}\n\n".encode())


def echo_2(status: int, message=None, **error):
    """Answer with an error of version 2 whose texts, where they are None, repeat the secrets."""

    def answer(seen: Seen) -> Answer:
        secrets = " ; ".join(secrets_sent(seen))
        said = {n: secrets if v is None else v for n, v in (error | {"message": message}).items()}
        return json_answer({"error": said, "id": secrets}, status=status)

    return answer


def echo_error_event_2(seen: Seen) -> Answer:
    error = {"error": {"code": "internal_error", "message": " ".join(secrets_sent(seen))}}
    return stream_answer(FIRST_2, error)


def echo_foreign_event_2(seen: Seen) -> Answer:
    return stream_answer(FIRST_2, f"data: no JSON, {secrets_sent(seen)}\n\n".encode())


def echo_choice(seen: Seen) -> Answer:
    return json_answer({"choices": [" ".join(secrets_sent(seen))]})


def echo_iam_headers(seen: Seen) -> Answer:
    words = " ".join(secrets_sent(seen))
    headers = {"X-Bce-Error-Code": words, "X-Bce-Error-Message": words}
    return json_answer({}, status=401, headers=headers)


ANSWERS = {
    "reset": Answer(status=0, end="reset"),
    "silence": Answer(status=0, end="silent"),
    "cut": json_answer({"result": "x"}, headers={"Content-Length": 999}),
    "half a JSON": Answer(pieces=[b'{"result": "x']),
    "JSON of another kind": json_answer({"object": "list"}),
    "HTML": echo_html(200),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 500": echo_html(500),
    "gateway's JSON": echo(502, error=None),
    "odd code": echo(error_code=None, error_msg="no"),
    "odd id": echo(error_code=336003, error_msg="no", id=None),
    "redirect": echo_location,
    **{f"error {code}": echo(error_code=code, error_msg=None) for code in CODES},
}
STREAMS = {
    "reset": stream_answer(FIRST, end="reset"),
    "silence": stream_answer(FIRST, end="silent"),
    "event that is no JSON": echo_foreign_event,
    "error": echo_error_event,
}
FIRST_2 = {"choices": [{"index": 0, "delta": {"content": "he"}}]}
WORDS_2 = [code for code in CODES if isinstance(code, str)]
WORDS_2 += [
    "rpm_rate_limit_exceeded",
    "system_unsafe",
    "coding_plan_api_key_required",
    "unheard_of",
]
ANSWERS_2 = {
    "reset": Answer(status=0, end="reset"),
    "silence": Answer(status=0, end="silent"),
    "cut": json_answer({"choices": []}, headers={"Content-Length": 999}),
    "half a JSON": Answer(pieces=[b'{"choices": ["x']),
    "version 1's JSON": echo(result=None),
    "no choice": echo_choice,
    "HTML": echo_html(200),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 500": echo_html(500),
    "gateway's JSON": echo(401, code="InvalidHTTPAuthHeader", message=None),
    "error that is a text": echo(502, error=None),
    "odd code": echo_2(400, code=None),
    "odd type": echo_2(400, type=None),
    "redirect": echo_location,
    **{f"error {code}": echo_2(401, code=code) for code in WORDS_2},
}
STREAMS_2 = {
    "reset": stream_answer(FIRST_2, end="reset"),
    "silence": stream_answer(FIRST_2, end="silent"),
    "end too early": stream_answer(FIRST_2),
    "event that is no JSON": echo_foreign_event_2,
    "error": echo_error_event_2,
}
IAM_ANSWERS = {
    "reset": Answer(status=0, end="reset"),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 503": echo_html(503),
    "unknown key": echo(401, code="NotFound", message=None),
    "odd code": echo(401, code=None, message="no"),
    "headers": echo_iam_headers,
    "no token": echo(userId=None),
    "odd times": echo(token="bce-v3/x/y", createTime=None, expireTime=None),
    "redirect": echo_location,
}
UNREACHABLE_2 = {
    "unknown host": {"console_api_base_url": "http://nowhere.invalid"},
    "refused port": {"console_api_base_url": "http://127.0.0.1:1"},
    "impossible port": {"console_api_base_url": "http://127.0.0.1:99999"},
    "unknown host of IAM": {"iam_base_url": "http://nowhere.invalid"},
    "refused port of IAM": {"iam_base_url": "http://127.0.0.1:1"},
    "refused proxy": {"proxy": "http://user:proxy+password@127.0.0.1:1"},
}
TOKEN_ANSWERS = {
    "reset": Answer(status=0, end="reset"),
    "HTTP 401 HTML": echo_html(401),
    "HTTP 503": echo_html(503),
    "unknown client": echo(401, error="invalid_client", error_description="unknown client id"),
    "odd description": echo(401, error="invalid_client", error_description=None),
    "odd error": echo(401, error=None, error_description="no"),
    "no token": echo(message=None),
    "error code": echo(error_code=13, error_msg=None),
    "redirect": echo_location,
}
UNREACHABLE = {
    "unknown host": {"base_url": "http://nowhere.invalid"},
    "refused port": {"base_url": "http://127.0.0.1:1"},
    "impossible port": {"base_url": "http://127.0.0.1:99999"},
    "impossible host": {"base_url": "http://" + "a" * 70 + ".invalid"},
    "refused proxy": {"proxy": "http://user:proxy+password@127.0.0.1:1"},
    "unknown proxy": {"proxy": "http://user:proxy+password@nowhere.invalid:1"},
    "impossible proxy": {"proxy": "ftp://user:proxy+password@nowhere.invalid:1"},
}

# --- where secrets are looked for


class Records(logging.Handler):
    """Keeps every record, as formatted and as it is."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.written.append(self.format(record) + repr(vars(record)))


@pytest.fixture
def records():
    root, kept = logging.getLogger(), Records()
    level = root.level
    root.addHandler(kept)
    root.setLevel(logging.DEBUG)
    yield kept
    root.removeHandler(kept)
    root.setLevel(level)


def remains(error: BaseException) -> str:
    """Write down an error with its causes, contexts, arguments and attributes, pickled too."""
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


@pytest.fixture
def leaks(raw_server, make_client, records):
    """Make a request fail; list the secrets that are left in the error, in reprs and in logs."""

    def drive(
        keys: dict[str, str], way: str = "chat", model: str | None = None, **settings
    ) -> set[str]:
        client = make_client(**keys, **settings)
        with pytest.raises(QianfanError) as caught:
            list(getattr(client, way)(HELLO, timeout=0.1, retries=2, model=model))
        described = [client, client.settings, client.settings.credentials]
        left = "\n".join([remains(caught.value), *map(repr, described), *records.written])
        secrets = {*keys.values(), "proxy+password", *(f"24.{n:032x}" for n in range(1, 9))}
        asked = [raw_server.requests, raw_server.token_requests, raw_server.bearer_requests]
        for seen in chain(*asked):
            secrets.update(secrets_sent(seen))
        return {s for secret in secrets for s in spellings(secret).values() if s in left}

    return drive


# --- the facts


@KINDS
@WAYS
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_failed_request_leaves_no_secret(raw_server, leaks, keys, way, answer):
    raw_server.script += [answer] * 2
    assert leaks(keys, way) == set()


@KINDS
@pytest.mark.parametrize("answer", STREAMS.values(), ids=STREAMS)
def test_failed_stream_leaves_no_secret(raw_server, leaks, keys, answer):
    raw_server.script += [answer]
    assert leaks(keys, "stream_chat") == set()


@pytest.mark.parametrize("answer", TOKEN_ANSWERS.values(), ids=TOKEN_ANSWERS)
def test_failed_request_for_a_token_leaves_no_secret(raw_server, leaks, answer):
    raw_server.tokens += [answer] * 2
    assert leaks(CREDENTIALS["keys"]) == set()


@pytest.mark.parametrize("answer", TOKEN_ANSWERS.values(), ids=TOKEN_ANSWERS)
def test_failed_renewal_of_a_token_leaves_no_secret(raw_server, leaks, answer):
    raw_server.tokens += [json_answer({"access_token": f"24.{1:032x}", "expires_in": 9e5})]
    raw_server.tokens += [answer] * 2
    raw_server.script += [echo(error_code=110, error_msg=None)] * 2
    assert leaks(CREDENTIALS["keys"]) == set()


@KINDS
@WAYS
@pytest.mark.parametrize("settings", UNREACHABLE.values(), ids=UNREACHABLE)
def test_unreachable_server_leaves_no_secret(leaks, keys, way, settings):
    assert leaks(keys, way, **settings) == set()


@KINDS
@WAYS
def test_refused_certificate_leaves_no_secret(leaks, keys, way):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(context) as server:
        assert leaks(keys, way, base_url=server.url) == set()


@pytest.mark.parametrize("spelling", spellings(""))
@KINDS
def test_echo_leaves_no_secret_however_it_is_spelt(raw_server, leaks, keys, spelling):
    spelt = " ".join(spellings(secret)[spelling] for secret in keys.values())
    raw_server.script += [json_answer({"error_code": 14, "error_msg": spelt})]
    assert leaks(keys) == set()


def test_token_of_somebody_else_is_masked_by_its_look(raw_server, make_client):
    theirs = "24.fedcba9876543210fedcba9876543210.2592000.1700000000.282335-1234567"
    raw_server.script += [json_answer({"error_code": 6, "error_msg": f"{theirs} is theirs"})]
    with pytest.raises(QianfanError) as caught:
        make_client().chat(HELLO)
    assert "fedcba9876543210" not in remains(caught.value)


@KINDS
def test_success_leaves_no_secret_in_the_log(raw_server, make_client, records, keys):
    raw_server.script += [json_answer({"result": "x"})]
    make_client(**keys).chat(HELLO)
    secrets = {*keys.values(), *secrets_sent(raw_server.requests[0])}
    assert [s for s in secrets if s in "".join(records.written)] == []


@KINDS
def test_log_still_tells_of_the_request(raw_server, make_client, records, keys):
    raw_server.script += [json_answer({"result": "x"})]
    make_client(**keys).chat(HELLO)
    assert "POST /rpc/2.0/ai_custom" in "".join(records.written)


def test_error_survives_pickling(raw_server, make_client):
    raw_server.script += [json_answer({"error_code": 14, "error_msg": "no", "id": "as-1"})]
    with pytest.raises(QianfanError) as caught:
        make_client().chat(HELLO)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), vars(again)) == (str(caught.value), vars(caught.value))


# --- version 2

E51 = "ernie-5.1"


@KINDS_2
@WAYS
@pytest.mark.parametrize("answer", ANSWERS_2.values(), ids=ANSWERS_2)
def test_failed_request_of_version_2_leaves_no_secret(raw_server, leaks, keys, way, answer):
    raw_server.script += [answer] * 2
    assert leaks(keys, way, E51) == set()


@KINDS_2
@pytest.mark.parametrize("answer", STREAMS_2.values(), ids=STREAMS_2)
def test_failed_stream_of_version_2_leaves_no_secret(raw_server, leaks, keys, answer):
    raw_server.script += [answer] * 2
    assert leaks(keys, "stream_chat", E51) == set()


@pytest.mark.parametrize("answer", IAM_ANSWERS.values(), ids=IAM_ANSWERS)
def test_failed_request_for_a_bearer_token_leaves_no_secret(raw_server, leaks, answer):
    raw_server.bearers += [answer] * 2
    assert leaks(CREDENTIALS_2["access keys"], "chat", E51) == set()


@pytest.mark.parametrize("answer", IAM_ANSWERS.values(), ids=IAM_ANSWERS)
def test_failed_renewal_of_a_bearer_token_leaves_no_secret(raw_server, leaks, answer):
    raw_server.bearers += [bearer_answer("bce-v3/ALTAK-first+one=/two=="), answer, answer]
    raw_server.script += [echo_2(401, code="invalid_iam_token")] * 2
    assert leaks(CREDENTIALS_2["access keys"], "chat", E51) == set()


@KINDS_2
@WAYS
@pytest.mark.parametrize("settings", UNREACHABLE_2.values(), ids=UNREACHABLE_2)
def test_unreachable_server_of_version_2_leaves_no_secret(raw_server, leaks, keys, way, settings):
    raw_server.script += [echo_2(400, code="invalid_messages")] * 2
    assert leaks(keys, way, E51, **settings) == set()


@pytest.mark.parametrize("spelling", spellings(""))
@KINDS_2
def test_echo_of_version_2_leaves_no_secret_however_it_is_spelt(raw_server, leaks, keys, spelling):
    spelt = " ".join(spellings(secret)[spelling] for secret in keys.values())
    raw_server.script += [echo_2(400, spelt, code="invalid_argument")]
    assert leaks(keys, "chat", E51) == set()


@pytest.mark.parametrize("words", ["bce-v3/ALTAK-theirs/0123456789", "Bearer theirs-0123456789"])
def test_bearer_token_of_somebody_else_is_masked_by_its_look(raw_server, make_client, words):
    raw_server.script += [echo_2(400, f"{words} is theirs", code="invalid_argument")]
    with pytest.raises(QianfanError) as caught:
        make_client(bearer_token="bce-v3/ALTAK-ours/0").chat(HELLO, model=E51)
    assert "theirs-0123" not in remains(caught.value)
    assert "0123456789" not in remains(caught.value)


@KINDS_2
@WAYS
def test_success_of_version_2_leaves_no_secret_in_the_log(
    raw_server, make_client, records, keys, way
):
    raw_server.script += [stream_answer(FIRST_2, b"data: [DONE]\n\n")]
    found = getattr(make_client(**keys), way)(HELLO, model=E51)
    if way == "stream_chat":
        list(found)
    sent = chain(raw_server.requests, raw_server.bearer_requests)
    secrets = {*keys.values(), *chain(*map(secrets_sent, sent))}
    log = "".join(records.written)
    assert ([s for s in secrets if s in log], "POST /v2/chat/completions" in log) == ([], True)


@KINDS_2
def test_failed_list_of_models_leaves_no_secret(raw_server, make_client, records, keys):
    raw_server.script += [echo_2(403, code="unheard_of")] * 2
    with pytest.raises(QianfanError) as caught:
        make_client(**keys).models(fresh=True)
    left = "\n".join([remains(caught.value), *records.written])
    sent = chain(raw_server.requests, raw_server.bearer_requests)
    secrets = {*keys.values(), *chain(*map(secrets_sent, sent))}
    found = {s for secret in secrets for s in spellings(secret).values() if s in left}
    assert found == set()


MASK_A_MEGABYTE = """
from qianfan_magic.masking import mask
mask("http://" + "a:" * 500_000)
"""


def test_hostile_text_does_not_stop_the_kernel():
    """Trying every colon anew would take half an hour; the bound is generous on purpose."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MASK_A_MEGABYTE], cwd=root, timeout=20, check=False
    )
    assert done.returncode == 0
