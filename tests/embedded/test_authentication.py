"""Authentication: access tokens and signatures of version 1, bearer tokens of version 2."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.embedded_client import (
    AQUILA,
    CHAT,
    COMPLETION,
    DOLLY,
    IAM,
    MODELS,
    STARCODER,
    V1_PREFIX,
    V1Client,
    V2Client,
    user,
    v1_body,
    v2_body,
    v2_error,
)
from support.waiting import until

# --- access tokens


def test_client_credentials_are_exchanged_for_an_access_token(v1):
    for method in ("POST", "GET"):
        response = v1.request_token(method).json()
        assert response["access_token"].startswith("24."), method
        assert response["expires_in"] == 2_592_000, method  # 30 days


def test_each_access_token_is_new_and_leaves_the_others_valid(v1):
    tokens = {v1.request_token().json()["access_token"] for _ in range(3)}
    assert len(tokens) == 3
    for token in tokens:
        assert "result" in v1.post(STARCODER, {"prompt": "x"}, token=token).json()


@pytest.mark.parametrize(
    ("changed", "error", "description"),
    [
        ({"client_id": "nobody"}, "invalid_client", "unknown client id"),
        ({"client_secret": "wrong"}, "invalid_client", "Client authentication failed"),
        ({"grant_type": "password"}, "unsupported_grant_type", ""),
    ],
)
def test_invalid_token_request_is_rejected(v1, changed, error, description):
    response = v1.request_token(**changed)
    assert response.status_code == 401
    assert response.json() == {"error": error, "error_description": description}


def test_credentials_differ_from_server_to_server(make_server):
    assert make_server().authenticator.keys != make_server().authenticator.keys


def test_invalid_access_token_is_rejected(v1, make_v1):
    body = v1_body(DOLLY, "hi")
    unknown = "24.0123456789abcdef0123456789abcdef.2592000.1.1-1"
    codes = {"": 100, unknown: 110, "长城": 110, make_v1().token: 110}
    for token, code in codes.items():
        response = v1.post(DOLLY, body, params={"access_token": token})
        assert response.json()["error_code"] == code, token
        assert response.status_code == 200, token
    assert v1.post(DOLLY, body, params={}).json()["error_code"] == 100


def test_undecodable_access_token_is_rejected_in_json(v1):
    response = v1.post(DOLLY, v1_body(DOLLY, "hi"), params="access_token=%ff")
    assert response.headers["Content-Type"].startswith("application/json")


def test_access_token_expires(make_v1):
    v1 = make_v1(token_life=0.05)
    assert v1.token
    assert until(lambda: v1.ask(STARCODER, "x").get("error_code") == 111)


# --- signatures in version 1


def ask_signed(v1: V1Client, signature: dict[str, str], **options: Any) -> int:
    """Return the error code of a signed request; 0 if it is answered."""
    service = options.pop("service", STARCODER)
    options = {"params": ""} | options
    response = v1.post(service, {"prompt": "x"}, headers=signature, **options).json()
    assert ("result" in response) != ("error_code" in response)
    return response.get("error_code", 0)


def sign_v1(v1: V1Client, **changed: Any) -> dict[str, str]:
    return v1.signature("POST", V1_PREFIX + STARCODER, **changed)


def test_signed_request_is_accepted(v1):
    assert ask_signed(v1, sign_v1(v1)) == 0


def test_signature_covers_the_sorted_query(v1):
    signature = sign_v1(v1, query="a%20b=%E5%9F%8E&c=1")
    assert ask_signed(v1, signature, params="c=1&a%20b=%E5%9F%8E") == 0
    assert ask_signed(v1, signature) == 14
    assert ask_signed(v1, sign_v1(v1), params="a=1") == 14


def test_invalid_signature_is_rejected(v1):
    for changed in (
        {"secret": "wrong"},
        {"key": "ALTAK0123456789"},
        {"at": datetime.now(UTC) - timedelta(minutes=600)},
        {"at": datetime.now(UTC) + timedelta(minutes=600)},
        {"seconds": -1},
        {"names": ["x-bce-date"]},  # without the host
    ):
        assert ask_signed(v1, sign_v1(v1, **changed)) == 14, changed


def test_signature_for_another_path_or_date_is_rejected(v1):
    assert ask_signed(v1, sign_v1(v1), service=AQUILA) == 14
    assert ask_signed(v1, sign_v1(v1) | {"x-bce-date": "2016-04-06T08:23:49Z"}) == 14


def test_malformed_signature_is_rejected(v1):
    for rest in ("", "a/b/c/d/e", "a/2016-04-06T08:23:49Z/x/host/y"):
        assert ask_signed(v1, {"Authorization": f"bce-auth-v1/{rest}"}) == 14, rest


def test_access_token_in_the_query_of_a_signed_request_is_signed_too(v1):
    assert ask_signed(v1, sign_v1(v1), params="access_token=wrong") == 14


# --- IAM's bearer tokens


def request_bearer(v2: V2Client, query: str = "expireInSeconds=3600", **changed: Any):
    signature = v2.signature("GET", IAM, changed.pop("signed_query", query), **changed)
    return v2.send("GET", f"{IAM}?{query}" if query else IAM, headers=signature)


def test_signed_request_is_exchanged_for_a_bearer_token(v2):
    response = request_bearer(v2).json()
    assert list(response) == ["userId", "token", "status", "createTime", "expireTime"]
    assert response["token"].startswith("bce-v3/ALTAK-")
    assert response["status"] == "enable"


def test_times_are_in_utc_to_the_millisecond(v2):
    text = request_bearer(v2).json()["createTime"]
    created_at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert len(text) == len("2026-01-01T00:00:00.000Z")
    assert abs(datetime.now(UTC) - created_at) < timedelta(minutes=1)


# The official SDK signs all of them; other clients sign fewer.
SDK_HEADERS = {"content-type": "application/json", "request-source": "qianfan_py_sdk_v0.4.12.3"}


def test_signature_may_cover_more_or_fewer_headers(v2):
    for extra in (SDK_HEADERS, {"content-type": "application/json"}, {}):
        assert request_bearer(v2, extra=extra).status_code == 200, extra
    assert request_bearer(v2, names=["host"]).status_code == 200


def test_bearer_token_is_valid_for_the_requested_time(v2):
    for query, seconds in {
        "expireInSeconds=300": 300,
        "expireInSeconds=2592000": 2_592_000,
        "": 1_800,
    }.items():
        response = request_bearer(v2, query).json()
        created_at, expires_at = (
            datetime.fromisoformat(response[name]) for name in ("createTime", "expireTime")
        )
        assert (expires_at - created_at).total_seconds() == pytest.approx(seconds), query


def test_lifetime_out_of_range_is_rejected(v2):
    for seconds in ("299", "2592001", "-300", "0", "1e3", "x", "9" * 5_000):
        response = request_bearer(v2, f"expireInSeconds={seconds}")
        assert response.status_code == 400, seconds
        assert "[300, 2592000]" in response.json()["message"], seconds


@pytest.mark.parametrize(
    ("changed", "code", "cause"),
    [
        ({"key": "ALTAK0123"}, "NotFound", "Could not find credential."),
        ({"secret": "x"}, "SignatureDoesNotMatch", "Fail to authn user"),
        ({"names": ["x-bce-date"]}, "SignatureDoesNotMatch", "Fail to authn user"),
        ({"signed_query": "a=1"}, "SignatureDoesNotMatch", "Fail to authn user"),
        ({"at": datetime(2020, 1, 1, tzinfo=UTC)}, "RequestExpired", "Fail to authn user"),
        ({"at": datetime(2099, 1, 1, tzinfo=UTC)}, "RequestExpired", "Fail to authn user"),
    ],
)
def test_iam_rejects_an_invalid_signature_in_its_own_format(v2, changed, code, cause):
    response = request_bearer(v2, **changed)
    error = response.json()
    assert response.status_code == 403
    assert error.keys() == {"code", "message", "requestId"}
    assert error["code"] == response.headers["X-Bce-Error-Code"] == code
    assert error["message"] == response.headers["X-Bce-Error-Message"]
    assert error["message"].startswith(f"{code}, cause: {cause}")


def test_iam_rejects_requests_without_a_signature(v2):
    assert v2.send("GET", IAM).status_code == 403  # with a bearer token
    assert v2.send("GET", IAM, headers={}).status_code == 403
    assert v2.send("POST", IAM).status_code == 405


def test_rejection_repeats_no_credentials(v1, v2):
    token_error = v1.request_token(client_secret="wrong").text
    assert v1.keys.ak not in token_error
    assert v1.keys.sk not in token_error
    iam_error = request_bearer(v2, secret="x").text
    assert v2.keys.access_key not in iam_error
    assert v2.keys.secret_key not in iam_error
    bearer_error = v2.post(v2_body("hi"), headers={"Authorization": "Bearer bce-v3/x"}).text
    assert "bce-v3" not in bearer_error


# --- bearer tokens in version 2

ACCEPTED, REJECTED = (200, ""), (401, "invalid_iam_token")


def authorize(v2: V2Client, authorization: str, **headers: str) -> tuple[int, str]:
    headers |= {"Authorization": authorization}
    return v2_error(v2.post(v2_body("hi"), headers=headers))


def test_bearer_tokens_of_iam_are_accepted(v2):
    tokens = {request_bearer(v2).json()["token"] for _ in range(2)}
    assert len(tokens) == 2
    for token in tokens:
        assert authorize(v2, f"Bearer {token}") == ACCEPTED


def test_bearer_token_of_iam_expires(make_v2):
    v2 = make_v2(token_life=0.5)
    authorization = f"Bearer {request_bearer(v2).json()['token']}"
    assert authorize(v2, authorization) == ACCEPTED
    assert until(lambda: authorize(v2, authorization) == REJECTED)


def test_own_bearer_token_does_not_expire(make_v2):
    v2 = make_v2(token_life=0)
    assert authorize(v2, v2.authorization) == ACCEPTED


def test_invalid_bearer_token_is_rejected(v2, make_v2):
    another = make_v2().authorization
    bare = v2.keys.bearer_token
    for path in (CHAT, COMPLETION, MODELS):
        method = "GET" if path == MODELS else "POST"
        for value in ("Bearer ", "Bearer bce-v3/ALTAK-x/y", f"Basic {bare}", bare, another):
            response = v2.send(method, path, headers={"Authorization": value})
            assert v2_error(response) == REJECTED, (path, value)
        assert v2_error(v2.send(method, path, headers={})) == REJECTED, path


def test_tokens_of_one_version_are_rejected_by_the_other(make_server):
    server = make_server()
    v1, v2 = V1Client(server), V2Client(server)
    assert authorize(v2, f"Bearer {v1.token}") == REJECTED
    query = {"access_token": v1.token}
    assert v2_error(v2.post(v2_body("hi"), params=query, headers={})) == REJECTED

    body, headers = {"messages": [user("hi")]}, {"Authorization": v2.authorization}
    assert v1.post(DOLLY, body, params={}, headers=headers).json()["error_code"] == 100
    assert v1.post(DOLLY, body, token=v2.keys.bearer_token).json()["error_code"] == 110


def test_application_must_be_that_of_the_keys(v2):
    assert authorize(v2, v2.authorization, appid=v2.keys.app_id) == ACCEPTED
    for app_id in ("", "app-other"):
        assert authorize(v2, v2.authorization, appid=app_id) == (401, "invalid_appid"), app_id
