"""Bearer tokens of version 2: static, or requested for access keys, cached and renewed."""

from __future__ import annotations

import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import product
from urllib.parse import urlsplit

import pytest
from support.raw_server import Answer, bearer_answer, json_answer, stream_answer

from qianfan_magic import (
    AuthError,
    QianfanClient,
    SettingsError,
    TokenExpiredError,
    TransportError,
)
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.wire.bce_signature import canonical_request, sign
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

KEYS = {"access_key": "ALTAKEXAMPLE0123456789", "secret_key": "SKEXAMPLE0123456789abcdef0000000"}
GIVEN = "bce-v3/ALTAK-EXAMPLE0123456789/0123456789abcdef0123456789abcdef01234567"
#: What the raw server gives out, in this order.
FIRST, SECOND = (f"bce-v3/ALTAK-{number:020d}/{'f' * 40}" for number in (1, 2))
HELLO = [{"role": "user", "content": "hi"}]
MESSAGE = "IAM Certification failed"
METHODS = ("chat", "stream_chat")


def answer_of(text):
    return json_answer({"id": "as-1", "choices": [{"message": {"content": text}}]})


def streamed(*texts):
    frames = [{"id": "as-1", "choices": [{"index": 0, "delta": {"content": t}}]} for t in texts]
    return stream_answer(*frames, b"data: [DONE]\n\n")


OK = answer_of("hello")


def refused(code="invalid_iam_token", status=401):
    error = {"code": code, "message": MESSAGE, "type": "invalid_request_error"}
    return json_answer({"error": error, "id": "as-2"}, status=status)


def answer_to(method):
    """Return the answer whose text is "hello", in the form that a method of the client expects."""
    return OK if method == "chat" else streamed("hel", "lo")


def ask(client, method="chat", model="ernie-5.1", **options):
    found = getattr(client, method)(HELLO, model=model, **options)
    return found.text if method == "chat" else "".join(chunk.text for chunk in found)


def failure(client, kind=Exception, **options):
    with pytest.raises(kind) as caught:
        pytest.fail(f"{options}: {ask(client, **options)!r}")
    return caught.value


def tokens_of(server):
    """List the bearer tokens of the requests to the service itself."""
    return [seen.headers["authorization"].removeprefix("Bearer ") for seen in server.requests]


def keys_of(server):
    """Return the access keys that the embedded server accepts."""
    keys = server.authenticator.keys
    return {"access_key": keys.access_key, "secret_key": keys.secret_key}


def timestamp(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- the request for a token


def test_token_is_requested_by_a_signed_get_for_a_day(raw_server, make_client):
    raw_server.script += [OK, OK]
    ask(make_client(**KEYS))
    ask(make_client(**KEYS, iam_base_url=raw_server.url + "/iam"))
    seen, elsewhere = raw_server.bearer_requests
    assert seen.method == "GET"
    assert seen.target == "/v1/BCE-BEARER/token?expireInSeconds=86400"
    assert elsewhere.target == "/iam/v1/BCE-BEARER/token?expireInSeconds=86400"
    assert seen.body == b""
    prefix, names, signature = seen.headers["authorization"].rsplit("/", 2)
    assert prefix == f"bce-auth-v1/{KEYS['access_key']}/{seen.headers['x-bce-date']}/300"
    assert {"host", "x-bce-date"} <= set(names.split(";"))
    signed = {name: seen.headers[name] for name in names.split(";")}
    canonical = canonical_request("GET", seen.path, urlsplit(seen.target).query, signed)
    assert signature == sign(KEYS["secret_key"], prefix, canonical)
    assert KEYS["secret_key"].encode() not in seen.raw


def test_embedded_server_accepts_the_signature_and_its_token_until_it_is_revoked():
    for method in METHODS:
        with EmbeddedServer() as server:
            keys = keys_of(server)
            with QianfanClient(server.settings(), **keys) as client:
                assert client.settings.credentials == Credentials(**keys)
                assert ask(client, method)
                assert len(server.authenticator.bearers) == 1, method
                server.authenticator.bearers.clear()
                assert ask(client, method)
            assert len(server.authenticator.bearers) == 1, method


def test_request_has_the_token_in_its_header_alone(raw_server, make_client):
    for method in METHODS:
        raw_server.script += [answer_to(method)]
        assert ask(make_client(**KEYS), method) == "hello"
        seen = raw_server.requests[-1]
        assert seen.headers["authorization"] == f"Bearer {FIRST}", method
        assert seen.target == "/v2/chat/completions", method
        assert seen.raw.count(FIRST.encode()) == 1, method


def test_access_keys_sign_requests_of_version_1(raw_server, make_client):
    raw_server.script += [json_answer({"result": "hello"})]
    make_client(**KEYS).chat(HELLO, endpoint="ep")
    assert raw_server.requests[0].headers["authorization"].startswith("bce-auth-v1/")
    assert raw_server.bearer_requests == []


# --- a static token


def test_static_token_takes_precedence_over_access_keys(raw_server, make_client, tmp_path):
    for keys in ({}, KEYS):
        raw_server.script += [OK]
        ask(make_client(bearer_token=GIVEN, **keys))
    assert tokens_of(raw_server) == [GIVEN, GIVEN]
    assert raw_server.bearer_requests == []
    assert cached(tmp_path) == []


def test_static_token_that_is_refused_is_not_sent_again(raw_server, make_client):
    for method in METHODS:
        raw_server.requests.clear()
        raw_server.script += [refused()]
        client = make_client(bearer_token=GIVEN)
        error = failure(client, TokenExpiredError, method=method)
        assert len(raw_server.requests) == 1, method
        assert "QIANFAN_API_KEY" in error.hint, method


# --- credentials of the other version


def test_each_version_needs_its_own_credentials(raw_server, make_client):
    for keys in ({"access_token": "24.x"}, {"ak": "a", "sk": "b"}):
        client = make_client(**keys, console_api_base_url="https://elsewhere.example/v2")
        error = str(failure(client, SettingsError))
        for word in ("version 2", "QIANFAN_API_KEY", "QIANFAN_ACCESS_KEY"):
            assert word in error, keys
    with pytest.raises(SettingsError, match=r"version 1(.|\n)*QIANFAN_AK"):
        make_client(bearer_token=GIVEN).chat(HELLO, endpoint="ep")
    assert raw_server.requests == []


# --- appid


def test_application_is_sent_to_version_2_if_it_is_set(raw_server, make_client):
    for keys, app_id in product((KEYS, {"bearer_token": GIVEN}), ("app-7", None)):
        raw_server.script += [OK]
        ask(make_client(**keys, app_id=app_id))
        assert raw_server.requests[-1].headers.get("appid") == app_id, keys
    raw_server.script += [json_answer({"result": "hello"})]
    make_client(**KEYS, app_id="app-7").chat(HELLO, endpoint="ep")
    assert "appid" not in raw_server.requests[-1].headers


def test_refused_application_is_reported_with_its_variable(raw_server, make_client):
    raw_server.script += [refused("invalid_appid")]
    error = failure(make_client(bearer_token=GIVEN, app_id="app-7"), AuthError)
    assert "QIANFAN_APP_ID" in error.hint


# --- the cache


def cached(tmp_path):
    return sorted((tmp_path / "cache").glob("token-*.json"))


def test_cache_is_private_and_has_this_computer_s_times_but_no_key(
    raw_server, make_client, tmp_path
):
    raw_server.script += [OK]
    before = time.time()
    ask(make_client(**KEYS))
    (path,) = cached(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key for key in KEYS.values() if key in str(path) + path.read_text()] == []
    stored = json.loads(path.read_text())
    assert stored["access_token"] == FIRST
    assert before <= stored["obtained_at"] <= time.time()
    assert stored["expires_at"] - stored["obtained_at"] == pytest.approx(86_400)


def test_clients_and_threads_share_a_token(raw_server, make_client):
    raw_server.script += [OK] * 10
    client = make_client(**KEYS)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: ask(client), range(8))) == ["hello"] * 8
    ask(client)
    ask(make_client(**KEYS))
    assert len(raw_server.bearer_requests) == 1
    assert tokens_of(raw_server) == [FIRST] * 10


def test_other_keys_or_address_have_a_token_of_their_own(raw_server, make_client):
    raw_server.script += [OK] * 4
    ask(make_client(**KEYS))
    for number, other in enumerate(
        (
            {"access_key": "ALTAKANOTHER0123456789"},
            {"secret_key": "SKANOTHER0123456789"},
            {"iam_base_url": raw_server.url + "/another"},
        ),
        2,
    ):
        ask(make_client(**KEYS | other))
        assert len(raw_server.bearer_requests) == number, other
    assert len(set(tokens_of(raw_server))) == 4


def test_access_token_for_the_same_keys_is_not_used_as_bearer_token(raw_server, make_client):
    raw_server.script += [json_answer({"result": "hello"}), OK]
    make_client(ak=KEYS["access_key"], sk=KEYS["secret_key"]).chat(HELLO, endpoint="ep")
    ask(make_client(**KEYS))
    assert raw_server.requests[1].headers["authorization"] == f"Bearer {FIRST}"


def test_without_a_cache_each_client_has_its_own_token(raw_server, make_client, tmp_path):
    raw_server.script += [OK] * 3
    client = make_client(**KEYS, disable_cache=True)
    ask(client)
    ask(client)
    ask(make_client(**KEYS, disable_cache=True))
    assert tokens_of(raw_server) == [FIRST, FIRST, SECOND]
    assert cached(tmp_path) == []


def test_broken_file_is_replaced(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    ask(make_client(**KEYS))
    (path,) = cached(tmp_path)
    for number, broken in enumerate(("", "[]", "{", '{"access_token": 5}', "\0" * 9), 2):
        path.write_text(broken)
        raw_server.script += [OK]
        ask(make_client(**KEYS))
        assert len(raw_server.bearer_requests) == number, broken
        token = tokens_of(raw_server)[-1]
        assert token == f"bce-v3/ALTAK-{number:020d}/{'f' * 40}", broken
        assert json.loads(path.read_text())["access_token"] == token, broken


# --- its lifetime


def requests_of_two_chats(raw_server, make_client, bearer):
    """Return how many tokens two chats of a client request, if this is the answer to the first."""
    raw_server.bearers.clear()
    raw_server.bearer_requests.clear()
    raw_server.bearers += [bearer]
    raw_server.script += [OK] * 2
    client = make_client(**KEYS, disable_cache=True)
    ask(client)
    ask(client)
    return len(raw_server.bearer_requests)


def test_lifetime_is_the_difference_of_iam_s_own_times(raw_server, make_client):
    """This computer's clock may be years off; a token is renewed ten minutes before its expiry."""
    for lifetime, year in product((86_400, 660, 540, 0, -60), (1999, 2024, 2099)):
        begins = datetime(year, 3, 1, 6, 9, 57, tzinfo=UTC)
        ends = begins + timedelta(seconds=lifetime)
        bearer = bearer_answer(FIRST, timestamp(begins), timestamp(ends))
        count = requests_of_two_chats(raw_server, make_client, bearer)
        assert count == (1 if lifetime > 600 else 2), (lifetime, year)


def test_time_zones_are_respected_and_a_missing_createtime_is_now(raw_server, make_client):
    now = datetime.now(UTC)
    for times, expected in (
        (("2024-11-28T06:00:00Z", "2024-11-28T07:00:00Z"), 1),
        (("2024-11-28T06:00:00", "2024-11-28T07:00:00"), 1),
        (("2024-11-28T06:00:00+08:00", "2024-11-27T23:00:00Z"), 1),
        (("2024-11-28T06:00:00+00:00", "2024-11-28T06:00:00+08:00"), 2),
        ((timestamp(now + timedelta(seconds=3600)),), 1),
        ((timestamp(now + timedelta(seconds=300)),), 2),
    ):
        names = ("createTime", "expireTime")[-len(times) :]
        bearer = json_answer({"token": FIRST} | dict(zip(names, times, strict=True)))
        assert requests_of_two_chats(raw_server, make_client, bearer) == expected, times


# --- a token that is refused


def test_refused_token_is_replaced(raw_server, make_client, tmp_path):
    event = stream_answer({"error": {"code": "invalid_iam_token", "message": MESSAGE}})
    for method, refusal in (
        ("chat", refused()),
        ("chat", refused(status=200)),
        ("stream_chat", refused()),
        ("stream_chat", refused(status=200)),
        ("stream_chat", event),
    ):
        first = len(raw_server.bearer_requests) + 1
        raw_server.requests.clear()
        raw_server.script += [refusal, answer_to(method)]
        keys = KEYS | {"access_key": f"ALTAKEXAMPLE{first}"}
        assert ask(make_client(**keys), method) == "hello", refusal
        tokens = [f"bce-v3/ALTAK-{number:020d}/{'f' * 40}" for number in (first, first + 1)]
        assert tokens_of(raw_server) == tokens, refusal
        stored = [json.loads(path.read_text())["access_token"] for path in cached(tmp_path)]
        assert tokens[1] in stored, refusal
        assert tokens[0] not in stored, refusal


def test_token_is_replaced_only_once(raw_server, make_client):
    for method in METHODS:
        raw_server.requests.clear()
        raw_server.bearer_requests.clear()
        raw_server.script += [refused()] * 2
        client = make_client(**KEYS, disable_cache=True)
        error = failure(client, TokenExpiredError, method=method, retries=4)
        assert len(raw_server.requests) == 2, method
        assert len(raw_server.bearer_requests) == 2, method
        assert error.error_code == "invalid_iam_token"
        assert error.request_id == "as-2"


def test_refusal_in_the_middle_of_a_stream_keeps_the_text_so_far(raw_server, make_client):
    error = {"error": {"code": "invalid_iam_token", "message": MESSAGE}}
    frame = {"choices": [{"delta": {"content": "hel"}}]}
    raw_server.script += [stream_answer(frame, error)]
    caught = failure(make_client(**KEYS), TokenExpiredError, method="stream_chat")
    assert caught.partial == "hel"
    assert len(raw_server.requests) == 1


def test_token_that_another_client_has_replaced_is_used(raw_server, make_client):
    late, early = make_client(**KEYS), make_client(**KEYS)
    raw_server.script += [OK, OK, refused(), OK, refused(), OK]
    ask(late)
    ask(early)
    ask(early)
    ask(late)
    assert tokens_of(raw_server) == [FIRST, FIRST, FIRST, SECOND, FIRST, SECOND]
    assert len(raw_server.bearer_requests) == 2


def test_other_errors_of_status_401_request_no_token(raw_server, make_client):
    client = make_client(**KEYS)
    for code in ["invalid_model", "no_parameter_permission", "invalid_appid"]:
        raw_server.requests.clear()
        raw_server.script += [refused(code)]
        failure(client)
        assert len(raw_server.requests) == 1, code
    assert len(raw_server.bearer_requests) == 1


def test_retries_continue_after_a_new_token(raw_server, make_client):
    raw_server.script += [refused(), Answer(status=500), OK]
    assert ask(make_client(**KEYS), retries=2) == "hello"
    assert tokens_of(raw_server) == [FIRST, SECOND, SECOND]


def test_list_of_models_replaces_a_refused_token_too(raw_server, make_client):
    raw_server.script += [refused(), json_answer({"data": [{"id": "ernie-5.1"}]})]
    assert make_client(**KEYS).models(fresh=True) == ["ernie-5.1"]


# --- errors of IAM


def iam_refusal(code, message, status=401):
    headers = {"X-Bce-Error-Code": code, "X-Bce-Error-Message": message}
    return json_answer({}, status=status, headers=headers)


REFUSALS = [
    ("NotFound", "NotFound, cause: Could not find credential.", "QIANFAN_ACCESS_KEY is no"),
    (
        "SignatureDoesNotMatch",
        "SignatureDoesNotMatch, cause: Fail to authn user: Signature does not match",
        "QIANFAN_SECRET_KEY is not",
    ),
    ("RequestExpired", "RequestExpired, cause: request is expired", "clock is wrong"),
]


PLACES = {
    "body": lambda code, message: json_answer({"code": code, "message": message}, status=401),
    "headers": iam_refusal,
    "headers of an empty body": lambda code, message: Answer(
        status=401, headers={"X-Bce-Error-Code": code, "X-Bce-Error-Message": message}
    ),
}


def test_error_of_iam_is_reported_with_the_wrong_key(raw_server, make_client):
    for place, (code, message, hint) in product(PLACES, REFUSALS):
        raw_server.bearers += [PLACES[place](code, message)]
        error = failure(make_client(**KEYS), AuthError)
        assert hint in error.hint, place
        assert error.error_code == code, place
        assert error.error_msg == message, place


def test_only_temporary_errors_of_iam_are_retried(raw_server, make_client):
    client = make_client(**KEYS, disable_cache=True)
    for status in (400, 401, 403, 404):
        raw_server.bearer_requests.clear()
        raw_server.bearers += [iam_refusal("NotFound", "no", status)]
        failure(client, AuthError, retries=3)
        assert len(raw_server.bearer_requests) == 1, status
        assert raw_server.requests == [], status
    for status in (429, 500, 503):
        raw_server.bearers += [iam_refusal("InternalError", "busy", status)]
        raw_server.script += [OK]
        assert ask(make_client(**KEYS, disable_cache=True), retries=2) == "hello", status
    assert not raw_server.bearers


def test_error_of_iam_contains_no_key(raw_server, make_client):
    def echo(seen):
        message = f"{KEYS['access_key']} {KEYS['secret_key']} {seen.headers['authorization']}"
        return json_answer({"code": "NotFound", "message": message}, status=401)

    raw_server.bearers += [echo]
    error = failure(make_client(**KEYS), AuthError)
    shown = f"{error!r} {error} {vars(error)}"
    assert [key for key in KEYS.values() if key in shown] == []


def test_embedded_server_recognises_which_key_is_wrong():
    with EmbeddedServer() as server:
        for wrong, hint in (
            ({"secret_key": "not-the-secret-key"}, "QIANFAN_SECRET_KEY is not"),
            ({"access_key": "ALTAKnobody"}, "QIANFAN_ACCESS_KEY is no"),
        ):
            with QianfanClient(server.settings(), **keys_of(server) | wrong) as client:
                assert hint in failure(client, AuthError).hint


def test_answer_of_iam_without_a_token_is_a_transport_error(raw_server, make_client):
    expiry = {"expireTime": "2024-11-29T06:09:57.000Z"}
    for answer in (
        json_answer({}),
        json_answer({"token": FIRST}),
        json_answer({"token": FIRST, "expireTime": "soon"}),
        json_answer({"token": FIRST, "expireTime": 1732774197}),
        json_answer({"token": FIRST, "expireTime": None, "createTime": None}),
        json_answer({"token": None} | expiry),
        json_answer({"token": ""} | expiry),
        json_answer({"token": "a\nb"} | expiry),
        json_answer({"token": "长城"} | expiry),
        json_answer([FIRST]),
        Answer(headers={"Content-Type": "text/html"}, pieces=[b"<title>Log in</title>"]),
    ):
        raw_server.bearers += [answer]
        failure(make_client(**KEYS), TransportError)
        assert raw_server.requests == [], answer
    raw_server.bearers += [json_answer({"token": 5})]
    assert "QIANFAN_IAM_BASE_URL" in failure(make_client(**KEYS), TransportError).hint


def test_fault_of_the_embedded_iam_is_retried():
    with EmbeddedServer() as server:
        server.fail(Fault(status=503, path="/BCE-BEARER/"))
        settings = server.settings(backoff_factor=0.0, retry_jitter=0.0)
        with QianfanClient(settings, **keys_of(server)) as client:
            assert ask(client)
