"""The log: one line for each request, response, retry and renewal, and never a secret."""

from __future__ import annotations

import logging

from support.raw_server import Answer, json_answer

HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"})
EXPIRED = json_answer({"error_code": 110, "error_msg": "Access token invalid"})
KEYS = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}
CHAT = "/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/chat_ep"


def logged(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "qianfan_magic"]


def test_requests_retries_and_renewals_are_logged(raw_server, make_client, caplog):
    caplog.set_level(logging.DEBUG)
    raw_server.script += [Answer(status=503), EXPIRED, OK]
    make_client(**KEYS).chat(HELLO)
    url = raw_server.url
    token = [f"POST {url}/oauth/2.0/token", f"HTTP 200 from {url}/oauth/2.0/token after"]
    chat, new_token = f"POST {url}{CHAT}", "Got a new token, valid for 2592000 s"
    expected = [*token, new_token]
    expected += [chat, f"HTTP 503 from {url}{CHAT} after", "Attempt 1 failed: The answer is not"]
    expected += [chat, f"HTTP 200 from {url}{CHAT} after", *token, new_token]
    expected += ["The service refused the token", chat, f"HTTP 200 from {url}{CHAT} after"]
    lines = logged(caplog)
    assert len(lines) == len(expected), lines
    for line, beginning in zip(lines, expected, strict=True):
        assert line.startswith(beginning)
        assert "\n" not in line


def test_no_secret_is_logged(raw_server, make_client, caplog):
    caplog.set_level(logging.DEBUG)
    raw_server.script += [Answer(status=503), EXPIRED, OK, OK, json_answer({"choices": []})]
    make_client(**KEYS).chat(HELLO)
    signing = {"access_key": "ALTAKEXAMPLE0123456789", "secret_key": "SKEXAMPLE0123456789abcdef"}
    make_client(**signing).chat(HELLO)
    bearer = {"bearer_token": "bce-v3/ALTAK-EXAMPLE/0123456789abcdef"}
    client = make_client(**bearer)
    list(client.map([HELLO], model="ernie-5.1"))
    tokens = [f"24.{number:032x}.2592000" for number in (1, 2)]
    secrets = [*tokens, *KEYS.values(), *signing.values(), *bearer.values()]
    assert raw_server.requests[0].query["access_token"] == tokens[0]
    assert [secret for secret in secrets if secret in caplog.text] == []


def test_nothing_is_logged_above_debug(raw_server, make_client, caplog):
    caplog.set_level(logging.INFO)
    raw_server.script += [Answer(status=503), OK]
    make_client(**KEYS).chat(HELLO)
    assert logged(caplog) == []
