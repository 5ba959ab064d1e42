"""Bearer tokens of version 2: static, or fetched for access keys, cached and renewed."""

from __future__ import annotations

import json
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
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
WORDS = "IAM Certification failed"
WAYS = pytest.mark.parametrize("way", ["chat", "stream_chat"])


def answer_of(text):
    return json_answer({"id": "as-1", "choices": [{"message": {"content": text}}]})


def streamed(*texts):
    frames = [{"id": "as-1", "choices": [{"index": 0, "delta": {"content": t}}]} for t in texts]
    return stream_answer(*frames, b"data: [DONE]\n\n")


OK = answer_of("hello")


def refused(code="invalid_iam_token", status=401):
    error = {"code": code, "message": WORDS, "type": "invalid_request_error"}
    return json_answer({"error": error, "id": "as-2"}, status=status)


def ask(client, way="chat", model="ernie-5.1", **options):
    found = getattr(client, way)(HELLO, model=model, **options)
    return found.text if way == "chat" else "".join(chunk.text for chunk in found)


def failure(client, kind=Exception, **options):
    with pytest.raises(kind) as caught:
        ask(client, **options)
    return caught.value


def carried(server):
    """List the bearer tokens that the service's own requests carried."""
    return [seen.headers["authorization"].removeprefix("Bearer ") for seen in server.requests]


def written(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.000Z")


# --- the request for a token


def test_token_is_requested_by_get_and_for_a_day(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(**KEYS))
    seen = raw_server.bearer_requests[0]
    assert seen.method == "GET"
    assert seen.target == "/v1/BCE-BEARER/token?expireInSeconds=86400"
    assert seen.body == b""


def test_request_for_a_token_is_signed(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(**KEYS))
    seen = raw_server.bearer_requests[0]
    prefix, names, signature = seen.headers["authorization"].rsplit("/", 2)
    assert prefix == f"bce-auth-v1/{KEYS['access_key']}/{seen.headers['x-bce-date']}/300"
    assert {"host", "x-bce-date"} <= set(names.split(";"))
    signed = {name: seen.headers[name] for name in names.split(";")}
    canonical = canonical_request("GET", seen.path, urlsplit(seen.target).query, signed)
    assert signature == sign(KEYS["secret_key"], prefix, canonical)
    assert KEYS["secret_key"].encode() not in seen.raw


def test_embedded_server_takes_the_signature():
    with EmbeddedServer() as server:
        keys = server.authenticator.keys
        ours = Credentials(access_key=keys.access_key, secret_key=keys.secret_key)
        with QianfanClient(
            server.settings(), access_key=keys.access_key, secret_key=keys.secret_key
        ) as client:
            assert client.settings.credentials == ours
            assert ask(client)
        assert len(server.authenticator.bearers) == 1


@WAYS
def test_request_carries_the_token(raw_server, make_client, way):
    raw_server.script += [OK if way == "chat" else streamed("hel", "lo")]
    assert ask(make_client(**KEYS), way) == "hello"
    assert carried(raw_server) == [FIRST]


def test_token_is_in_the_header_alone(raw_server, make_client):
    raw_server.script += [OK]
    ask(make_client(**KEYS))
    seen = raw_server.requests[0]
    assert seen.target == "/v2/chat/completions"
    assert seen.raw.count(FIRST.encode()) == 1


def test_iam_has_an_address_of_its_own(raw_server, make_client):
    raw_server.script += [OK]
    client = make_client(**KEYS, iam_base_url=raw_server.url + "/iam")
    ask(client)
    assert raw_server.bearer_requests[0].path == "/iam/v1/BCE-BEARER/token"


def test_access_keys_sign_requests_of_version_1(raw_server, make_client):
    raw_server.script += [json_answer({"result": "hello"})]
    make_client(**KEYS).chat(HELLO, endpoint="ep")
    assert raw_server.requests[0].headers["authorization"].startswith("bce-auth-v1/")
    assert raw_server.bearer_requests == []


# --- a static token


def test_static_token_takes_precedence_over_access_keys(raw_server, make_client, tmp_path):
    for keys in [{}, KEYS]:
        raw_server.script += [OK]
        ask(make_client(bearer_token=GIVEN, **keys))
    assert carried(raw_server) == [GIVEN, GIVEN]
    assert raw_server.bearer_requests == []
    assert cached(tmp_path) == []


@WAYS
def test_static_token_that_is_refused_is_not_sent_again(raw_server, make_client, way):
    raw_server.script += [refused()] * 3
    error = failure(make_client(bearer_token=GIVEN), TokenExpiredError, way=way)
    assert len(raw_server.requests) == 1
    assert "QIANFAN_BEARER_TOKEN" in error.hint


# --- credentials of the other version


@pytest.mark.parametrize("keys", [{"access_token": "24.x"}, {"ak": "a", "sk": "b"}])
def test_version_2_wants_its_own_credentials(raw_server, make_client, keys):
    error = failure(make_client(**keys), SettingsError)
    words = ("version 2", "QIANFAN_BEARER_TOKEN", "QIANFAN_ACCESS_KEY")
    assert [word for word in words if word not in str(error)] == []
    assert raw_server.requests == []


def test_version_1_wants_its_own_credentials(raw_server, make_client):
    with pytest.raises(SettingsError, match=r"version 1(.|\n)*QIANFAN_AK"):
        make_client(bearer_token=GIVEN).chat(HELLO, endpoint="ep")
    assert raw_server.requests == []


# --- appid


@pytest.mark.parametrize("keys", [KEYS, {"bearer_token": GIVEN}], ids=["fetched", "given"])
@pytest.mark.parametrize("app_id", ["app-7", None])
def test_application_is_sent_if_it_is_set(raw_server, make_client, keys, app_id):
    raw_server.script += [OK]
    ask(make_client(**keys, app_id=app_id))
    assert raw_server.requests[0].headers.get("appid") == app_id


def test_application_is_not_sent_to_version_1(raw_server, make_client):
    raw_server.script += [json_answer({"result": "hello"})]
    make_client(**KEYS, app_id="app-7").chat(HELLO, endpoint="ep")
    assert "appid" not in raw_server.requests[0].headers


def test_application_that_is_refused_says_which_variable(raw_server, make_client):
    raw_server.script += [refused("invalid_appid")]
    error = failure(make_client(bearer_token=GIVEN, app_id="app-7"), AuthError)
    assert "QIANFAN_APP_ID" in error.hint


# --- the cache


def cached(tmp_path):
    return sorted((tmp_path / "cache").glob("token-*.json"))


def test_cache_is_private_and_contains_no_key(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    ask(make_client(**KEYS))
    (path,) = cached(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["access_token"] == FIRST
    assert [key for key in KEYS.values() if key in str(path) + path.read_text()] == []


def test_token_is_asked_for_once(raw_server, make_client):
    raw_server.script += [OK] * 3
    client = make_client(**KEYS)
    for _ in range(3):
        ask(client)
    assert len(raw_server.bearer_requests) == 1


def test_two_clients_share_a_token(raw_server, make_client):
    raw_server.script += [OK] * 2
    ask(make_client(**KEYS))
    ask(make_client(**KEYS))
    assert len(raw_server.bearer_requests) == 1
    assert carried(raw_server) == [FIRST] * 2


def test_threads_share_a_token(raw_server, make_client):
    raw_server.script += [OK] * 8
    client = make_client(**KEYS)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: ask(client), range(8))) == ["hello"] * 8
    assert len(raw_server.bearer_requests) == 1


@pytest.mark.parametrize(
    "others",
    [
        {"access_key": "ALTAKANOTHER0123456789"},
        {"secret_key": "SKANOTHER0123456789"},
        {"iam_base_url": "another"},
    ],
    ids=lambda others: next(iter(others)),
)
def test_other_keys_or_address_have_a_token_of_their_own(raw_server, make_client, others):
    raw_server.script += [OK] * 2
    ask(make_client(**KEYS))
    if "iam_base_url" in others:
        others = {"iam_base_url": raw_server.url + "/another"}
    ask(make_client(**KEYS | others))
    assert carried(raw_server) == [FIRST, SECOND]


def test_access_token_of_the_same_words_is_not_taken_for_a_bearer_token(raw_server, make_client):
    raw_server.script += [json_answer({"result": "hello"}), OK]
    words = list(KEYS.values())
    make_client(ak=words[0], sk=words[1]).chat(HELLO, endpoint="ep")
    ask(make_client(**KEYS))
    assert raw_server.requests[1].headers["authorization"] == f"Bearer {FIRST}"


def test_without_a_cache_each_client_asks_and_nothing_is_written(raw_server, make_client, tmp_path):
    raw_server.script += [OK] * 3
    client = make_client(**KEYS, disable_cache=True)
    ask(client)
    ask(client)
    ask(make_client(**KEYS, disable_cache=True))
    assert carried(raw_server) == [FIRST, FIRST, SECOND]
    assert cached(tmp_path) == []


@pytest.mark.parametrize("broken", ["", "[]", "{", '{"access_token": 5}', "\0" * 9])
def test_broken_file_is_replaced(raw_server, make_client, tmp_path, broken):
    raw_server.script += [OK] * 2
    ask(make_client(**KEYS))
    cached(tmp_path)[0].write_text(broken)
    ask(make_client(**KEYS))
    assert carried(raw_server) == [FIRST, SECOND]
    assert json.loads(cached(tmp_path)[0].read_text())["access_token"] == SECOND


# --- its lifetime


@pytest.mark.parametrize("lifetime", [86_400, 660, 540, 0, -60])
def test_lifetime_is_the_difference_of_iam_s_own_times(raw_server, make_client, lifetime):
    """This computer's clock may be years off; a token is renewed ten minutes before its expiry."""
    for year in [1999, 2024, 2099]:
        begins = datetime(year, 3, 1, 6, 9, 57, tzinfo=UTC)
        ends = begins + timedelta(seconds=lifetime)
        raw_server.bearers.clear()
        raw_server.bearer_requests.clear()
        raw_server.bearers += [bearer_answer(FIRST, written(begins), written(ends))]
        raw_server.script += [OK] * 2
        client = make_client(**KEYS, disable_cache=True)
        ask(client)
        ask(client)
        assert len(raw_server.bearer_requests) == (1 if lifetime > 600 else 2), year


@pytest.mark.parametrize(
    ("begins", "ends", "asked"),
    [
        ("2024-11-28T06:00:00Z", "2024-11-28T07:00:00Z", 1),
        ("2024-11-28T06:00:00", "2024-11-28T07:00:00", 1),
        ("2024-11-28T06:00:00+08:00", "2024-11-27T23:00:00Z", 1),
        ("2024-11-28T06:00:00+00:00", "2024-11-28T06:00:00+08:00", 2),
    ],
)
def test_time_zones_are_respected(raw_server, make_client, begins, ends, asked):
    raw_server.bearers += [bearer_answer(FIRST, begins, ends)]
    raw_server.script += [OK] * 2
    client = make_client(**KEYS)
    ask(client)
    ask(client)
    assert len(raw_server.bearer_requests) == asked


@pytest.mark.parametrize(("life", "asked"), [(3600, 1), (300, 2)])
def test_without_createtime_this_computer_s_clock_is_used(raw_server, make_client, life, asked):
    ends = written(datetime.now(UTC) + timedelta(seconds=life))
    raw_server.bearers += [json_answer({"token": FIRST, "expireTime": ends})]
    raw_server.script += [OK] * 2
    client = make_client(**KEYS)
    ask(client)
    ask(client)
    assert len(raw_server.bearer_requests) == asked


def test_cached_times_are_those_of_this_computer_s_clock(raw_server, make_client, tmp_path):
    raw_server.script += [OK]
    before = time.time()
    ask(make_client(**KEYS))
    found = json.loads(cached(tmp_path)[0].read_text())
    assert before <= found["obtained_at"] <= time.time()
    assert found["expires_at"] - found["obtained_at"] == pytest.approx(86_400)


# --- a token that is refused


@WAYS
def test_refused_token_is_replaced_once(raw_server, make_client, way):
    raw_server.script += [refused(), OK if way == "chat" else streamed("hel", "lo")]
    assert ask(make_client(**KEYS), way) == "hello"
    assert carried(raw_server) == [FIRST, SECOND]


@WAYS
def test_token_is_replaced_only_once(raw_server, make_client, way):
    raw_server.script += [refused()] * 5
    error = failure(make_client(**KEYS), TokenExpiredError, way=way, retries=4)
    assert len(raw_server.requests) == 2
    assert len(raw_server.bearer_requests) == 2
    assert error.error_code == "invalid_iam_token"
    assert error.request_id == "as-2"


@WAYS
def test_refusal_is_read_whatever_its_status(raw_server, make_client, way):
    raw_server.script += [refused(status=200), OK if way == "chat" else streamed("hello")]
    assert ask(make_client(**KEYS), way) == "hello"


def test_refusal_as_the_first_event_of_a_stream_is_answered_with_a_new_token(
    raw_server, make_client
):
    error = {"error": {"code": "invalid_iam_token", "message": WORDS}}
    raw_server.script += [stream_answer(error), streamed("hello")]
    assert ask(make_client(**KEYS), "stream_chat") == "hello"
    assert carried(raw_server) == [FIRST, SECOND]


def test_refusal_in_the_middle_of_a_stream_keeps_what_had_arrived(raw_server, make_client):
    error = {"error": {"code": "invalid_iam_token", "message": WORDS}}
    frame = {"choices": [{"delta": {"content": "hel"}}]}
    raw_server.script += [stream_answer(frame, error)]
    caught = failure(make_client(**KEYS), TokenExpiredError, way="stream_chat")
    assert caught.partial == "hel"
    assert len(raw_server.requests) == 1


def test_new_token_replaces_the_one_on_disk(raw_server, make_client, tmp_path):
    raw_server.script += [refused(), OK]
    ask(make_client(**KEYS))
    assert json.loads(cached(tmp_path)[0].read_text())["access_token"] == SECOND


def test_token_that_another_client_has_replaced_is_taken(raw_server, make_client):
    late, early = make_client(**KEYS), make_client(**KEYS)
    raw_server.script += [OK, OK, refused(), OK, refused(), OK]
    ask(late)
    ask(early)
    ask(early)
    ask(late)
    assert carried(raw_server) == [FIRST, FIRST, FIRST, SECOND, FIRST, SECOND]
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
    assert carried(raw_server) == [FIRST, SECOND, SECOND]


@WAYS
def test_embedded_server_s_refusal_is_answered_with_a_new_token(way):
    with EmbeddedServer() as server:
        keys = {"access_key": server.authenticator.keys.access_key}
        keys["secret_key"] = server.authenticator.keys.secret_key
        with QianfanClient(server.settings(), **keys) as client:
            assert ask(client, way)
            server.authenticator.bearers.clear()
            assert ask(client, way)
        assert len(server.authenticator.bearers) == 1


def test_list_of_models_replaces_a_refused_token_too(raw_server, make_client):
    raw_server.script += [refused(), json_answer({"data": [{"id": "ernie-5.1"}]})]
    assert make_client(**KEYS).models(fresh=True) == ["ernie-5.1"]


# --- errors of IAM


def iam_refusal(code, message, status=401, **said):
    headers = {"X-Bce-Error-Code": code, "X-Bce-Error-Message": message}
    return json_answer(said, status=status, headers=headers)


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
    "body": lambda code, words: json_answer({"code": code, "message": words}, status=401),
    "headers": iam_refusal,
    "headers of an empty body": lambda code, words: Answer(
        status=401, headers={"X-Bce-Error-Code": code, "X-Bce-Error-Message": words}
    ),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_error_of_iam_says_which_key_is_wrong(raw_server, make_client, place):
    for code, message, words in REFUSALS:
        raw_server.bearers += [place(code, message)]
        error = failure(make_client(**KEYS), AuthError)
        assert words in error.hint
        assert error.error_code == code
        assert error.error_msg == message


def test_permanent_error_of_iam_is_not_retried(raw_server, make_client):
    for status in [400, 401, 403, 404]:
        raw_server.bearer_requests.clear()
        raw_server.bearers += [iam_refusal("NotFound", "no", status)]
        failure(make_client(**KEYS), AuthError, retries=3)
        assert len(raw_server.bearer_requests) == 1, status
        assert raw_server.requests == [], status


def test_temporary_error_of_iam_is_retried(raw_server, make_client):
    for status in [429, 500, 503]:
        raw_server.bearers += [iam_refusal("InternalError", "busy", status)]
        raw_server.script += [OK]
        assert ask(make_client(**KEYS, disable_cache=True), retries=2) == "hello", status


def test_refusal_of_iam_quotes_no_key(raw_server, make_client):
    def echo(seen):
        words = f"{KEYS['access_key']} {KEYS['secret_key']} {seen.headers['authorization']}"
        return json_answer({"code": "NotFound", "message": words}, status=401)

    raw_server.bearers += [echo]
    error = failure(make_client(**KEYS), AuthError)
    shown = f"{error!r} {error} {vars(error)}"
    assert [key for key in KEYS.values() if key in shown] == []


def test_embedded_server_recognises_a_wrong_secret_key():
    with EmbeddedServer() as server:
        wrong = {
            "access_key": server.authenticator.keys.access_key,
            "secret_key": "not-the-secret-key",
        }
        with QianfanClient(server.settings(), **wrong) as client:
            assert "QIANFAN_SECRET_KEY is not" in failure(client, AuthError).hint


def test_embedded_server_recognises_a_wrong_access_key():
    with EmbeddedServer() as server:
        wrong = {"access_key": "ALTAKnobody", "secret_key": server.authenticator.keys.secret_key}
        with QianfanClient(server.settings(), **wrong) as client:
            assert "QIANFAN_ACCESS_KEY is no" in failure(client, AuthError).hint


@pytest.mark.parametrize(
    "answer",
    [
        json_answer({}),
        json_answer({"token": FIRST}),
        json_answer({"token": FIRST, "expireTime": "soon"}),
        json_answer({"token": FIRST, "expireTime": 1732774197}),
        json_answer({"token": FIRST, "expireTime": None, "createTime": None}),
        json_answer({"token": None, "expireTime": "2024-11-29T06:09:57.000Z"}),
        json_answer({"token": "", "expireTime": "2024-11-29T06:09:57.000Z"}),
        json_answer({"token": "a\nb", "expireTime": "2024-11-29T06:09:57.000Z"}),
        json_answer({"token": "长城", "expireTime": "2024-11-29T06:09:57.000Z"}),
        json_answer([FIRST]),
        Answer(headers={"Content-Type": "text/html"}, pieces=[b"<title>Log in</title>"]),
    ],
)
def test_answer_of_iam_without_a_token_is_a_transport_error(raw_server, make_client, answer):
    raw_server.bearers += [answer]
    failure(make_client(**KEYS), TransportError)
    assert raw_server.requests == []


def test_answer_of_iam_without_a_token_names_its_address(raw_server, make_client):
    raw_server.bearers += [json_answer({"token": 5})]
    assert "QIANFAN_IAM_BASE_URL" in failure(make_client(**KEYS), TransportError).hint


def test_fault_of_the_embedded_iam_is_retried():
    with EmbeddedServer() as server:
        server.fail(Fault(status=503, path="/BCE-BEARER/"))
        keys = {"access_key": server.authenticator.keys.access_key}
        keys["secret_key"] = server.authenticator.keys.secret_key
        settings = server.settings(backoff_factor=0.0, retry_jitter=0.0)
        with QianfanClient(settings, **keys) as client:
            assert ask(client)
