"""The server: tornado on 127.0.0.1, in a thread of its own.

It serves both versions of the API, and IAM's endpoint for bearer tokens, at one base URL. It is as
strict as the service: tokens and signatures are verified, and an invalid request is answered with
the service's own error code.
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
from qianfan_magic.api.types import BOTH, Kind
from qianfan_magic.api.wire import v1, v2
from qianfan_magic.embedded.auth import TOKEN_LIFE, Authenticator
from qianfan_magic.embedded.engines import SCRIPTED
from qianfan_magic.embedded.engines.smollm2 import SmolLM2
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.handlers import BaseHandler, UnknownPathHandler
from qianfan_magic.embedded.handlers_v1 import AccessTokenHandler, V1ServiceHandler
from qianfan_magic.embedded.handlers_v2 import (
    BearerTokenHandler,
    ModelListHandler,
    V2ServiceHandler,
    V2UnknownPathHandler,
)
from qianfan_magic.embedded.request import ServerRequest
from qianfan_magic.embedded.state import ReceivedRequest, ServerState
from qianfan_magic.masking import guard_logs

__all__ = ["CHAT_MODEL", "COMPLETION_MODEL", "EmbeddedServer"]

#: The server answers this computer only.
HOST = "127.0.0.1"
#: Models that answer where none is named.
CHAT_MODEL = "ernie-5.1"
COMPLETION_MODEL = "qwen3-coder-30b-a3b-instruct"
#: Paths at which version 2 is served: Qianfan's own root, that of most other servers, and none.
_ROOT = "(?:/v2|/v1)?"
# tornado logs URLs, whose query contains the access token.
guard_logs("tornado.access", "tornado.general", "tornado.application")


class EmbeddedServer:
    """A local server that behaves like Qianfan.

    Parameters
    ----------
    engine
        Name of the engine that writes the answers, one of `ENGINE_NAMES`.
    seed
        Seed of the answers; equal seeds give the same answers in the same chunks.
    port
        TCP port; 0, the default, chooses a free one.
    pace
        Seconds between two chunks of a stream. Default: 0.
    token_life
        Seconds an access token is valid; also the maximum for bearer tokens that are issued.
        Default: 30 days.

    Examples
    --------
    >>> from qianfan_magic import QianfanClient
    >>> with EmbeddedServer(seed=1) as server:
    ...     with QianfanClient(server.settings()) as client:
    ...         reply = client.complete("def fibonacci(n):")
    >>> print(reply.text.splitlines()[2])
        a, b = 0, 1
    >>> [request.path for request in server.seen]
    ['/v2/completions']
    """

    def __init__(
        self,
        engine: str = "scripted",
        *,
        seed: int = 0,
        port: int = 0,
        pace: float = 0.0,
        token_life: float = TOKEN_LIFE,
    ) -> None:
        self._state = ServerState(
            engine=SCRIPTED,
            reasoning=SCRIPTED.reasoning,
            seed=seed,
            pace=pace,
            authenticator=Authenticator(token_life=token_life),
        )
        self._model = SmolLM2(seed) if engine == "smollm2" else None
        if self._model:
            self._state.generate, self._state.cards = self._model.generate, self._model.cards
        self._port = port
        self._started = threading.Event()
        self._failure: OSError | None = None
        # A daemon, so that a kernel or a script that never calls `stop` can exit.
        self._thread = threading.Thread(target=self._run, name="qianfan-server", daemon=True)

    @property
    def base_url(self) -> str:
        """The base URL of both API versions and of IAM, as ``QIANFAN_BASE_URL`` expects it."""
        return f"http://{HOST}:{self._port}"

    @property
    def authenticator(self) -> Authenticator:
        """The server's credentials, and the tokens it has issued."""
        return self._state.authenticator

    @property
    def seen(self) -> list[ReceivedRequest]:
        """All requests since the server started, in order."""
        return self._state.received

    @property
    def seed(self) -> int:
        """The seed of the answers."""
        return self._state.seed

    @property
    def engine(self) -> Callable[[ServerRequest], str]:
        """The function that writes answers; can be replaced while the server runs."""
        return self._state.engine

    @engine.setter
    def engine(self, engine: Callable[[ServerRequest], str]) -> None:
        self._state.engine, self._state.generate = engine, None

    @property
    def was_fetched(self) -> bool:
        """Whether `start` had to fetch the engine's model, and so showed a progress bar."""
        return self._model is not None and self._model.was_fetched

    @property
    def models(self) -> dict[Kind, str]:
        """The model that answers where none is named, for each kind of request."""
        if self._model:
            return dict.fromkeys(BOTH, self._model.name)
        return {"chat": CHAT_MODEL, "completion": COMPLETION_MODEL}

    @property
    def pace(self) -> float:
        """Seconds between two chunks of a stream; can be set while the server runs."""
        return self._state.pace

    @pace.setter
    def pace(self, seconds: float) -> None:
        self._state.pace = seconds

    @property
    def delay(self) -> float:
        """Seconds before an answer begins; can be set while the server runs."""
        return self._state.delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        self._state.delay = seconds

    @property
    def quota(self) -> int | None:
        """How many requests a minute are answered, spread evenly; others get status 429.

        None, the default, answers all. It can be set while the server runs.
        """
        return self._state.rate_limits.quota

    @quota.setter
    def quota(self, requests: int | None) -> None:
        self._state.rate_limits.quota = requests

    @property
    def faults(self) -> deque[Fault]:
        """Faults that have not been injected yet, in order; can be changed in place."""
        return self._state.faults

    @faults.setter  # for `server.faults += [fault]`
    def faults(self, faults: deque[Fault]) -> None:
        self._state.faults = faults

    def fail(self, *faults: Fault) -> None:
        """Inject faults into the next requests that they apply to, one fault each."""
        self._state.faults.extend(faults)

    def settings(self, **others: Any) -> Settings:
        """Return client settings for this server.

        They bypass every proxy, and keep tokens in memory only.

        Parameters
        ----------
        **others
            Fields of `Settings` to set besides, or instead.
        """
        keys = self.authenticator.keys
        return Settings(
            credentials=Credentials(ak=keys.ak, sk=keys.sk, bearer_token=keys.bearer_token),
            base_url=self.base_url,
            **{
                "console_api_base_url": f"{self.base_url}/v2",
                "iam_base_url": self.base_url,
                "proxy": "",
                "disable_cache": True,
                "model": self.models["chat"],
                "complete_model": self.models["completion"],
                **others,
            },
        )

    def environment(self) -> dict[str, str]:
        """Return the environment variables that make a client use this server.

        They have the names of the official SDK; the key of version 2 also the usual one.
        """
        key = self.authenticator.keys.bearer_token
        return {
            "QIANFAN_BASE_URL": self.base_url,
            # The bare address, since the official SDK appends /v2 by itself.
            "QIANFAN_CONSOLE_API_BASE_URL": self.base_url,
            "QIANFAN_IAM_BASE_URL": self.base_url,
            "QIANFAN_AK": self.authenticator.keys.ak,
            "QIANFAN_SK": self.authenticator.keys.sk,
            "QIANFAN_API_KEY": key,
            "QIANFAN_BEARER_TOKEN": key,
        }

    def start(self) -> Self:
        """Start serving; return when the port is open.

        Raises
        ------
        OSError
            If the port is in use.
        QianfanError
            If the engine's model cannot be had, or does not run on this processor.
        """
        if self._model:
            self._model.start()
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        """Stop serving and close all connections; does nothing if the server has stopped."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
        if self._model:
            self._model.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        # No access log: requests are recorded in `seen`.
        http = HTTPServer(Application(_routes(self._state), log_function=lambda _: None))
        try:
            sockets = bind_sockets(self._port, HOST)
        except OSError as error:
            self._failure = error  # `start` raises it, in the thread of its caller
            return
        else:
            self._port = sockets[0].getsockname()[1]
            http.add_sockets(sockets)
        finally:
            self._started.set()
        await self._stopping.wait()
        http.stop()
        await http.close_all_connections()


def _routes(state: ServerState) -> list[tuple[str, type[BaseHandler], dict[str, Any]]]:
    shared = {"state": state}
    folders = "|".join(v1.FOLDERS.values())
    # The first pattern that matches the whole path decides.
    return [
        (v1.TOKEN_PATH, AccessTokenHandler, shared),
        (rf"{v1.PREFIX}/({folders})/([^/]+)", V1ServiceHandler, shared),
        (v2.TOKEN_PATH, BearerTokenHandler, shared),
        (_ROOT + v2.MODELS_PATH, ModelListHandler, shared),
        *(
            (_ROOT + path, V2ServiceHandler, shared | {"kind": kind})
            for kind, path in v2.PATHS.items()
        ),
        (r"/v[12]/.*", V2UnknownPathHandler, shared),
        (r".*", UnknownPathHandler, shared),
    ]
