"""The server: tornado on 127.0.0.1, in a thread of its own.

It speaks both versions of the API, and IAM's part of them, at one address. It keeps what the
service keeps to: tokens and signatures are really checked, and a request that breaks a rule gets
the service's own code.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.embedded.auth import Authenticator
from qianfan_magic.embedded.engines import ENGINES
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.handlers import Handler, UnknownHandler
from qianfan_magic.embedded.handlers_v1 import TokenHandler, V1Handler
from qianfan_magic.embedded.handlers_v2 import (
    IamHandler,
    ModelHandler,
    ModelsHandler,
    V2UnknownHandler,
)
from qianfan_magic.embedded.rate_limits import RateLimits
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.state import ReceivedRequest
from qianfan_magic.masking import guard_logs

HOST = "127.0.0.1"
# tornado writes addresses, which hold the token, into its log.
guard_logs("tornado.access", "tornado.general", "tornado.application")


class EmbeddedServer:
    """Speaks Qianfan's wire on this computer.

    Parameters
    ----------
    engine
        What writes the answers: ``"scripted"``.
    seed
        The same seed gives the same answers in the same chunks.
    port
        0 takes a free one.
    pace
        Seconds between two chunks of a stream.
    token_life
        Seconds an access token lives, and a bearer token that is fetched at most.

    Examples
    --------
    >>> with EmbeddedServer() as server:                     # doctest: +SKIP
    ...     client = QianfanClient(server.settings())
    ...     client.chat([{"role": "user", "content": "hi"}], endpoint="dolly_12b")
    """

    def __init__(
        self,
        engine: str = "scripted",
        *,
        seed: int = 0,
        port: int = 0,
        pace: float = 0.0,
        token_life: float = 2_592_000,
    ) -> None:
        self.engine: Callable[[ServerRequest], str] = ENGINES[engine]
        self.reasoning = ENGINES[engine].reasoning
        self.seed = seed
        self.pace = pace
        self.authenticator = Authenticator(token_life=token_life)
        self.rate_limits = RateLimits()
        self.faults: deque[Fault] = deque()
        self.seen: list[ReceivedRequest] = []
        self._port = port
        self._started = threading.Event()
        self._failure: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="qianfan-server", daemon=True)

    @property
    def base_url(self) -> str:
        """The address of both versions and of IAM, as QIANFAN_BASE_URL and its like take it."""
        return f"http://{HOST}:{self._port}"

    def start(self) -> Self:
        """Serve from now on.

        Raises
        ------
        OSError
            If the port is taken.
        """
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        """End, with every connection that is open."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def settings(self, **others: Any) -> Settings:
        """Return settings that lead here, past every proxy; the token stays in memory."""
        keys = self.authenticator.keys
        return Settings(
            credentials=Credentials(ak=keys.ak, sk=keys.sk, bearer_token=keys.bearer_token),
            base_url=self.base_url,
            **{
                "console_api_base_url": self.base_url,
                "iam_base_url": self.base_url,
                "proxy": "",
                "disable_cache": True,
                "chat_endpoint": "dolly_12b",
                "complete_endpoint": "starcoder",
                **others,
            },
        )

    def environment(self) -> dict[str, str]:
        """Return the variables that lead here."""
        return {
            "QIANFAN_BASE_URL": self.base_url,
            "QIANFAN_CONSOLE_API_BASE_URL": self.base_url,
            "QIANFAN_IAM_BASE_URL": self.base_url,
            "QIANFAN_AK": self.authenticator.keys.ak,
            "QIANFAN_SK": self.authenticator.keys.sk,
            "QIANFAN_BEARER_TOKEN": self.authenticator.keys.bearer_token,
        }

    def fail(self, *faults: Fault) -> None:
        """Have the next requests go wrong, one fault each."""
        self.faults.extend(faults)

    def take_fault(self, path: str) -> Fault | None:
        """Return what is to go wrong with a request, once."""
        for fault in self.faults:
            if fault.path in path:
                self.faults.remove(fault)
                return fault
        return None

    def _run(self) -> None:
        asyncio.run(self._serve())

    def _routes(self) -> list[tuple[str, type[Handler], dict[str, Any]]]:
        given = {"server": self}
        return [
            (v1.TOKEN_PATH, TokenHandler, given),
            (v1.PREFIX + r"/(chat|completions)/([^/]+)", V1Handler, given),
            (v2.TOKEN_PATH, IamHandler, given),
            (v2.MODELS_PATH, ModelsHandler, given),
            *((path, ModelHandler, {**given, "kind": kind}) for kind, path in v2.PATHS.items()),
            (r"/v2/.*", V2UnknownHandler, given),
            (r".*", UnknownHandler, given),
        ]

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        http = HTTPServer(Application(self._routes(), log_function=lambda _: None))
        try:
            sockets = bind_sockets(self._port, HOST)
        except OSError as error:
            self._failure = error
            return
        else:
            self._port = sockets[0].getsockname()[1]
            http.add_sockets(sockets)
        finally:
            self._started.set()
        await self._stopping.wait()
        http.stop()
        await http.close_all_connections()
