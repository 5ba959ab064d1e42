"""The doctor in an empty folder, with an environment in which no server is reached."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest
from support.doctor import ADDRESSES, TOKEN, Report

from qianfan_magic import masking
from qianfan_magic.doctor.examine import examine
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.embedded.server import EmbeddedServer


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as running:
        yield running


@pytest.fixture
def closed() -> str:
    """Give an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def base(tmp_path, closed) -> dict[str, str]:
    # A server of version 2 on this computer would need no key.
    elsewhere = {"QIANFAN_CONSOLE_API_BASE_URL": "http://nowhere.invalid"}
    cache = {"QIANFAN_CACHE_DIR": str(tmp_path / "cache")}
    return dict.fromkeys(ADDRESSES, closed) | elsewhere | cache


@pytest.fixture
def check(tmp_path, base) -> Callable[..., Report]:
    """Examine the folder, in an environment of `base` and these variables."""

    def run(*, live: bool = False, **variables: str) -> Report:
        # The secrets of one examination are ordinary words in the next.
        masking.forget_all()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (base | variables).items():
                patch.setenv(name, value)
            return Report(examine(tmp_path, live=live))

    return run


@pytest.fixture
def probe(check) -> Callable[..., Finding]:
    """Examine one server, that of version 1, at this address."""
    return lambda url, **variables: check(QIANFAN_BASE_URL=url, **TOKEN, **variables).one("Server")
