"""The quota of the embedded server, and the delay of its answers."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from qianfan_magic import QianfanClient, RateLimitError
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.embedded.state import RateLimits

QUESTION = [{"role": "user", "content": "hi"}]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_share_of_a_second_may_come_at_once_and_the_rest_evenly(clock):
    limits = RateLimits(quota=600, clock=clock)  # 10 a second
    assert [limits.seconds_over() for _ in range(10)] == [0.0] * 10
    assert limits.seconds_over() == pytest.approx(0.1)
    clock.now = 0.1
    assert limits.seconds_over() == 0
    assert limits.seconds_over() == pytest.approx(0.1)
    clock.now = 60
    assert [limits.seconds_over() > 0 for _ in range(11)] == [False] * 10 + [True]


def test_quota_is_the_limit_that_the_headers_name(clock):
    limits = RateLimits(quota=600, clock=clock)
    headers = limits.count(5, 5, ApiVersion.V2)
    assert headers["X-Ratelimit-Limit-Requests"] == "600"
    assert headers["X-Ratelimit-Remaining-Requests"] == "599"


def test_request_beyond_the_quota_is_refused_in_both_versions():
    with EmbeddedServer() as server, QianfanClient(server.settings(retry_count=1)) as client:
        server.quota = 1
        for options in ({"endpoint": "dolly_12b"}, {"model": "ernie-5.1"}):
            server.quota = None
            client.chat(QUESTION, **options)
            server.quota = 1
            with suppress(RateLimitError):
                client.chat(QUESTION, **options)
            with pytest.raises(RateLimitError) as caught:
                client.chat(QUESTION, **options)
            assert 0 < caught.value.retry_after <= 60, options


def test_answer_begins_after_the_delay():
    with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
        server.delay = 0.2
        begun = time.monotonic()
        client.chat(QUESTION)
        assert time.monotonic() - begun >= 0.2
