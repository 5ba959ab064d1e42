"""Embedded servers, each with a client of one version of the API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support.embedded_client import V1Client, V2Client

from qianfan_magic.embedded.server import EmbeddedServer


@pytest.fixture
def make_server() -> Iterator[Callable[..., EmbeddedServer]]:
    with ExitStack() as servers:
        yield lambda **options: servers.enter_context(EmbeddedServer(**options))


@pytest.fixture
def make_v1(make_server) -> Callable[..., V1Client]:
    return lambda **options: V1Client(make_server(**options))


@pytest.fixture
def make_v2(make_server) -> Callable[..., V2Client]:
    return lambda **options: V2Client(make_server(**options))


@pytest.fixture
def v1(make_v1) -> V1Client:
    return make_v1()


@pytest.fixture
def v2(make_v2) -> V2Client:
    return make_v2()
