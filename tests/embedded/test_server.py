"""The embedded server itself: its address, its records, its rate limits, its start and stop."""

from __future__ import annotations

import socket

import pytest
import requests
from support.embedded_client import (
    DOLLY,
    MODELS,
    STARCODER,
    TIMEOUT,
    WALL,
    V1Client,
    V2Client,
    v1_body,
    v2_body,
)
from support.waiting import until

from qianfan_magic import QianfanClient
from qianfan_magic.api.types import BOTH, ApiVersion
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.embedded.state import RateLimits

STREAM = v1_body(DOLLY, WALL) | {"stream": True}


def port_of(server: EmbeddedServer) -> int:
    return int(server.base_url.rpartition(":")[2])


def accepts_connections(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(TIMEOUT)
        return client.connect_ex((address, port)) == 0


# --- address


def test_server_listens_on_127_0_0_1_only(make_server):
    server = make_server()
    assert server.base_url == f"http://127.0.0.1:{port_of(server)}"
    assert accepts_connections("127.0.0.1", port_of(server))
    for address in ("127.0.0.2", "::1"):
        assert not accepts_connections(address, port_of(server)), address


def test_port_can_be_chosen(make_server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert port_of(make_server(port=port)) == port


def test_port_in_use_is_an_error(make_server):
    with pytest.raises(OSError, match="in use"):
        EmbeddedServer(port=port_of(make_server())).start()


def test_environment_leads_to_the_server(v1):
    variables = v1.server.environment()
    query = {"grant_type": "client_credentials", "client_id": variables["QIANFAN_AK"]}
    query["client_secret"] = variables["QIANFAN_SK"]
    token_url = variables["QIANFAN_BASE_URL"] + "/oauth/2.0/token"
    assert "access_token" in v1.session.get(token_url, params=query).json()

    headers = {"Authorization": f"Bearer {variables['QIANFAN_BEARER_TOKEN']}"}
    models_url = variables["QIANFAN_CONSOLE_API_BASE_URL"] + MODELS
    assert v1.session.get(models_url, headers=headers).json()["object"] == "list"

    assert variables["QIANFAN_IAM_BASE_URL"] == v1.server.base_url


def test_settings_lead_to_the_server(make_server):
    server = make_server()
    settings = server.settings()
    assert settings.base_url == server.base_url
    assert settings.console_api_base_url == f"{server.base_url}/v2"
    assert settings.iam_base_url == server.base_url
    assert settings.credentials.bearer_token == server.authenticator.keys.bearer_token


def test_living_model_of_version_2_answers_where_none_is_named(make_server):
    with QianfanClient(make_server().settings()) as client:
        services = [client.service(kind, {}) for kind in BOTH]
    assert [service.version for service in services] == [ApiVersion.V2] * 2
    assert all(service.card and service.card.ends is None for service in services)


# --- records of requests


def test_request_is_recorded_as_received(v1):
    v1.post(STARCODER, b'{"prompt" :  "x"}')
    recorded = v1.server.seen[-1]
    assert recorded.method == "POST"
    assert recorded.path.endswith(STARCODER)
    assert recorded.headers["Content-Type"] == "application/json"
    assert recorded.body == b'{"prompt" :  "x"}'


def test_repr_of_records_contains_no_token(make_server):
    server = make_server()
    v1, v2 = V1Client(server), V2Client(server)
    v1.ask(DOLLY, "hi")
    v2.ask("hi")
    assert v1.token not in repr(server.seen)
    assert v2.keys.bearer_token not in repr(server.seen)


def test_chunks_sent_are_counted(v1, v2):
    assert v2.server.seen == []
    for client, chunks in ((v1, v1.stream(DOLLY, WALL)), (v2, v2.stream(WALL))):
        assert client.server.seen[-1].sent == len(chunks)  # without [DONE]


def test_response_that_was_read_to_its_end_is_not_closed_early(v1):
    v1.stream(DOLLY, WALL)
    v1.ask(DOLLY, "hi")
    assert [request.closed_early for request in v1.server.seen] == [False] * 3


def test_stream_ends_when_the_client_closes_the_connection(make_v1):
    v1 = make_v1(pace=0.02)
    with v1.post(DOLLY, STREAM, stream=True) as response:
        next(response.iter_lines())
    assert until(lambda: v1.server.seen[-1].closed_early)
    assert v1.server.seen[-1].sent < len(make_v1().stream(DOLLY, WALL))


def test_pace_and_engine_can_be_replaced_while_the_server_runs(make_v1):
    v1 = make_v1(pace=3_600)
    v1.server.pace = 0
    v1.server.engine = lambda request: f"{request.prompt}!" * 9
    assert "".join(chunk["result"] for chunk in v1.stream(DOLLY, "Stop")) == "Stop!" * 9


# --- stop


def test_stopped_server_accepts_no_connections(make_server):
    server = make_server()
    server.stop()
    assert not accepts_connections("127.0.0.1", port_of(server))


def test_stop_closes_a_stream(make_v1):
    v1 = make_v1(pace=0.02)
    with v1.post(DOLLY, STREAM, stream=True) as response:
        lines = response.iter_lines()
        next(lines)
        v1.server.stop()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            list(lines)


def test_stop_during_a_stream_logs_nothing(make_v1, caplog):
    v1 = make_v1(pace=3_600)
    with v1.post(DOLLY, STREAM, stream=True) as response:
        next(response.iter_lines())
        v1.server.stop()
    assert caplog.records == []


def test_second_stop_does_nothing(make_server):
    server = make_server()
    server.stop()
    server.stop()
    assert not server._thread.is_alive()


# --- rate limits


def rate_limits(response: requests.Response) -> dict[str, int]:
    prefix = "X-Ratelimit-"
    headers = {n: value for n, value in response.headers.items() if n.startswith(prefix)}
    return {name.removeprefix(prefix): int(value) for name, value in headers.items()}


def used(response: requests.Response) -> dict[str, int]:
    """Return what the headers say was used since the beginning of the minute."""
    values = rate_limits(response)
    limits = {name.removeprefix("Limit-") for name in values if name.startswith("Limit-")}
    assert values.keys() == {f"{kind}-{name}" for name in limits for kind in ("Limit", "Remaining")}
    return {name: values[f"Limit-{name}"] - values[f"Remaining-{name}"] for name in limits}


def test_headers_of_version_2_count_requests_and_both_kinds_of_tokens(v2):
    for count in (1, 2, 3):
        response = v2.post(v2_body("hi"))
        usage = response.json()["usage"]
        assert used(response) == {
            "Requests": count,
            "Input-Tokens": count * usage["prompt_tokens"],
            "Output-Tokens": count * usage["completion_tokens"],
        }


def test_headers_of_version_1_count_all_tokens_together(v1):
    response = v1.post(DOLLY, v1_body(DOLLY, "hi"))
    tokens = response.json()["usage"]["total_tokens"]
    assert used(response) == {"Requests": 1, "Tokens": tokens}


def test_counts_restart_after_a_minute():
    times = iter([0.0, 59.9, 60.0, 60.0])
    limits = RateLimits(clock=lambda: next(times))
    headers = [limits.count(1, 1, ApiVersion.V2) for _ in range(3)]
    remaining = [int(one["X-Ratelimit-Remaining-Requests"]) for one in headers]
    assert remaining == [2_999, 2_998, 2_999]
