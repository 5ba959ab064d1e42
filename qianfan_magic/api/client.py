"""The client: what a program imports."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any, Self, TypedDict, Unpack

from qianfan_magic.api.catalogue.parameters import SENDING
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.config.credentials import Credentials, one_way
from qianfan_magic.api.config.settings import Settings, load_settings, read_variable
from qianfan_magic.api.http.call import Call
from qianfan_magic.api.http.connection import Connection
from qianfan_magic.api.http.exchange import Request
from qianfan_magic.api.types import ApiVersion, Chunk, Kind, Message, Reply
from qianfan_magic.api.wire import WIRES, read_reply
from qianfan_magic.errors import ParameterError, QianfanError, brief

#: How many requests `QianfanClient.map` has under way at once.
MAP_WORKERS = 4


class ClientArguments(TypedDict, total=False):
    """What a program may give in the place of the settings."""

    access_token: str
    ak: str
    sk: str
    access_key: str
    secret_key: str
    bearer_token: str
    base_url: str


class QianfanClient:
    """Talks to Qianfan, or to whatever speaks its wire.

    Parameters
    ----------
    settings
        Default: from the environment and ``.env``.
    catalogue
        The model cards that count. Default: those of this package.
    **arguments
        ``access_token``, or ``ak`` and ``sk``, or ``access_key`` and ``secret_key``, or
        ``bearer_token``, in the place of the settings' credentials; and ``base_url``, of both
        versions of the API.

    Raises
    ------
    SettingsError
        If a key comes without its secret, or a setting is wrong.

    Examples
    --------
    >>> client = QianfanClient()                                        # doctest: +SKIP
    >>> client.complete("def fibonacci(n):", endpoint="starcoder").text  # doctest: +SKIP
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        catalogue: Catalogue | None = None,
        **arguments: Unpack[ClientArguments],
    ) -> None:
        self.settings = _with_arguments(settings, dict(arguments))
        self.catalogue = catalogue or Catalogue()
        self._connection = Connection(self.settings)

    def __repr__(self) -> str:
        return f"QianfanClient({self.settings.base_url!r}, {self.settings.credentials!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def chat(self, messages: Sequence[Message], **options: Any) -> Reply:
        """Ask a chat model and wait for the whole answer.

        Parameters
        ----------
        messages
            ``{"role": …, "content": …}``: user, assistant, user, …; an odd number.
        **options
            ``endpoint`` and ``model`` name the service (default: the settings'); ``timeout``,
            seconds of silence, and ``retries``, attempts in total, replace the settings'; all
            others are request parameters, see `qianfan_magic.api.catalogue.parameters.PARAMETERS`.

        Returns
        -------
        Reply

        Raises
        ------
        ParameterError
            Before anything is sent.
        SettingsError, TransportError, StreamError, APIError
            See `qianfan_magic.errors`.
        """
        return self._whole("chat", messages, options)

    def stream_chat(self, messages: Sequence[Message], **options: Any) -> Generator[Chunk]:
        """Ask a chat model; give each piece as it arrives. Takes and raises what `chat` does.

        What is wrong with the request is raised at once, the rest from the iterator. Closing
        the iterator closes the connection.
        """
        return self.ask("chat", messages, options)

    def complete(self, prompt: str, **options: Any) -> Reply:
        """Have a model go on with a text. Takes and raises what `chat` does."""
        return self._whole("completion", prompt, options)

    def stream_complete(self, prompt: str, **options: Any) -> Generator[Chunk]:
        """Have a model go on with a text; give each piece as `stream_chat` does."""
        return self.ask("completion", prompt, options)

    def map(
        self,
        prompts: Iterable[str | Sequence[Message]],
        *,
        executor: Executor | None = None,
        **options: Any,
    ) -> Iterator[Reply | QianfanError]:
        """Ask many things side by side.

        Parameters
        ----------
        prompts
            A text is completed, a list of messages is a chat.
        executor
            Runs the requests, in threads; default: four of them.
        **options
            Of every request, as in `chat`.

        Yields
        ------
        Reply or QianfanError
            In the order of the prompts; one that fails does not take the others down.
        """
        if isinstance(prompts, str):
            raise ParameterError("prompts is one text", hint="Give a list of texts.")
        pool = executor or ThreadPoolExecutor(MAP_WORKERS)
        futures: list[Future[Reply | QianfanError]] = []
        try:
            futures += [pool.submit(self._reply_or_error, asked, options) for asked in prompts]
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
            if executor is None:
                pool.shutdown(wait=False)

    def ask(
        self, kind: Kind, asked: Any, options: dict[str, Any], *, stream: bool = True
    ) -> Generator[Chunk]:
        """Ask either kind of service, in chunks; a whole answer is one chunk.

        Parameters
        ----------
        kind
            ``"chat"`` or ``"completion"``.
        asked
            Messages, or a prompt.
        options
            As in `chat`.
        stream
            Whether the answer is to come in pieces.
        """
        return self.call(kind, asked, options, stream=stream).chunks()

    def call(self, kind: Kind, asked: Any, options: dict[str, Any], *, stream: bool = True) -> Call:
        """Check a request and make its call, which another thread may abort; as `ask` else."""
        sending = {
            row.name: row.check(options[row.name])
            for row in SENDING
            if options.get(row.name) is not None
        }
        settings = replace(
            self.settings,
            retry_timeout=sending.get("timeout", self.settings.retry_timeout),
            retry_count=sending.get("retries", self.settings.retry_count),
        )
        request = self.prepare(kind, asked, options, stream=stream)
        return Call(self._connection, request, settings)

    def prepare(
        self, kind: Kind, asked: Any, options: dict[str, Any], *, stream: bool = True
    ) -> Request:
        """Check a request and make it ready, without sending anything; takes what `ask` does."""
        apart = {"endpoint", "model", *(row.name for row in SENDING)}
        parameters = {name: value for name, value in options.items() if name not in apart}
        service = self.service(kind, options)
        wire, settings = WIRES[service.version], self.settings
        base_url = (
            settings.base_url if service.version == ApiVersion.V1 else settings.console_api_base_url
        )
        return Request(
            version=service.version,
            kind=kind,
            service=service.name,
            base_url=base_url,
            url=base_url + wire.path(kind, service.name),
            body=wire.body(kind, service, asked, parameters, stream=stream),
        )

    def describe(self, request: Request) -> str:
        """Write down what goes over the wire for a request, every secret masked."""
        return self._connection.describe(request)

    def service(self, kind: Kind, options: Mapping[str, Any]) -> Service:
        """Decide who is asked, by which version of the API, and find the model's card, if any."""
        endpoint, model = options.get("endpoint"), options.get("model")
        versions = self.settings.credentials.versions
        if endpoint is None and model is None:
            chat = kind == "chat"
            endpoint = self.settings.chat_endpoint if chat else self.settings.complete_endpoint
            endpoint, model = self.catalogue.default(endpoint, self.settings.model, kind, versions)
        return self.catalogue.find(endpoint, model, kind, versions)

    def models(self, *, fresh: bool = False) -> list[str]:
        """List the models that version 2 of the API has for these credentials.

        Parameters
        ----------
        fresh
            Ask now; else a list of the last day will do.

        Raises
        ------
        SettingsError, TransportError, APIError
            As `chat` does.
        """
        try:
            return self._connection.models(fresh=fresh)
        except KeyboardInterrupt as stop:
            raise brief(stop, "stopped")  # noqa: B904  it is the same one

    def _whole(self, kind: Kind, asked: Any, options: dict[str, Any]) -> Reply:
        with closing(self.ask(kind, asked, options, stream=False)) as chunks:
            return read_reply(chunks)

    def _reply_or_error(
        self, asked: str | Sequence[Message], options: dict[str, Any]
    ) -> Reply | QianfanError:
        try:
            if isinstance(asked, str):
                return self.complete(asked, **options)
            return self.chat(asked, **options)
        except QianfanError as error:
            return error


def _with_arguments(settings: Settings | None, arguments: dict[str, Any]) -> Settings:
    """Let what a program gives win over the environment, whose keys are then not looked at."""
    base_url = arguments.pop("base_url", None)
    given = {name: value for name, value in arguments.items() if value is not None}
    credentials = one_way(Credentials(**given)) if given else None
    settings = settings or load_settings(credentials=credentials)
    if credentials:
        settings = replace(settings, credentials=credentials)
    if base_url:
        settings = replace(
            settings,
            base_url=read_variable("QIANFAN_BASE_URL", base_url),
            console_api_base_url=read_variable("QIANFAN_CONSOLE_API_BASE_URL", base_url),
        )
    return settings
