"""The client: what a program imports to send requests."""

from __future__ import annotations

import warnings
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, Self, TypedDict, Unpack

from qianfan_magic.api.batch.limiter import RateLimiter, limiter_of
from qianfan_magic.api.batch.parallel import in_order, in_order_async
from qianfan_magic.api.catalogue.cards import ended_hint
from qianfan_magic.api.catalogue.parameters import SENDING
from qianfan_magic.api.catalogue.resolver import Catalogue, Service
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.config.credentials import Credentials, one_way
from qianfan_magic.api.config.settings import Settings, load_settings, read_variable
from qianfan_magic.api.http.call import Call
from qianfan_magic.api.http.connection import Connection, cache_folder
from qianfan_magic.api.http.exchange import Request
from qianfan_magic.api.http.private_files import why_refused
from qianfan_magic.api.http.whole_reply import send, send_elsewhere
from qianfan_magic.api.options import ChatOptions, CompletionOptions
from qianfan_magic.api.structured import Schema, check_reply, read_schema
from qianfan_magic.api.tools import (
    DEFAULT_ROUNDS,
    asked_calls,
    check_rounds,
    declarations,
    later_choice,
    make_call,
    named_choice,
    read_tools,
    rounds_error,
)
from qianfan_magic.api.types import Chunk, Kind, Message, Reply, ToolRound
from qianfan_magic.api.wire import WIRES
from qianfan_magic.errors import (
    ParameterError,
    QianfanError,
    RateLimitError,
)
from qianfan_magic.interrupts import short_interrupt
from qianfan_magic.language import tr

__all__ = ["AHEAD", "MAP_WORKERS", "PacedReply", "QianfanClient", "exposed_message"]

#: Number of requests that `QianfanClient.map` sends at the same time by default.
MAP_WORKERS = 16
#: How many times as many prompts it reads before the replies are taken.
AHEAD = 4
#: How many times one of many requests may be refused for the limits of the service.
MOST_REFUSALS = 20
#: Options that are not part of a request's body.
_NOT_IN_BODY = {"endpoint", "model", "schema", *(parameter.name for parameter in SENDING)}


class CredentialArguments(TypedDict, total=False):
    """Credentials and the address, given by a program instead of the settings."""

    access_token: str
    ak: str
    sk: str
    access_key: str
    secret_key: str
    bearer_token: str
    base_url: str


class PacedReply(NamedTuple):
    """The reply to one of many requests, or its error; and the seconds that it took."""

    reply: Reply | QianfanError
    seconds: float = 0.0


class QianfanClient:
    """Sends requests to Qianfan, or to any server that speaks its protocol.

    Parameters
    ----------
    settings
        By default they are read from the environment and ``.env``.
    catalogue
        The model cards in effect. Default: those of this package.
    **arguments
        ``access_token``; or ``ak`` and ``sk``; or ``access_key`` and ``secret_key``; or
        ``bearer_token``, instead of the settings' credentials. And ``base_url``, for both
        versions of the API.

    Raises
    ------
    SettingsError
        If a key is given without its secret, or a setting is invalid.

    Warns
    -----
    UserWarning
        Once for each address of plain ``http`` on another computer to which a key is sent, and
        for a cache folder that is refused, since others may write to it.

    Examples
    --------
    >>> from qianfan_magic.embedded.server import EmbeddedServer  # instead of Qianfan
    >>> with EmbeddedServer() as server, QianfanClient(server.settings()) as client:
    ...     reply = client.complete("def fibonacci(n):", endpoint="starcoder")
    >>> print(reply.text.splitlines()[-1])
        return a
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        catalogue: Catalogue | None = None,
        **arguments: Unpack[CredentialArguments],
    ) -> None:
        self.settings = _with_arguments(settings, dict(arguments))
        _warn_once(self.settings)
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

    def chat(self, messages: Sequence[Message], **options: Unpack[ChatOptions]) -> Reply:
        """Send the messages of a conversation and wait for the whole answer.

        Threads may call it at the same time. Where the service refuses some of them for its limits,
        fewer are under way from then on, and the others wait for their turn; see `map`, too.

        Parameters
        ----------
        messages
            ``{"role": …, "content": …}`` each: user, assistant, user, …; the user's last. With
            models that can, the beginning of the answer may follow, ``{"role": "assistant",
            "content": …, "prefix": True}``; the reply is what the service sends to go on from it.
        **options
            See `qianfan_magic.api.options.ChatOptions`.

        Returns
        -------
        Reply

        Raises
        ------
        ParameterError
            If the request is invalid; nothing has been sent then.
        SchemaError
            If ``schema`` is given and the answer does not fit; the error has the reply.
        SettingsError, TransportError, StreamError, APIError
            See `qianfan_magic.errors`.
        """
        return self._reply("chat", messages, options)

    def stream_chat(
        self, messages: Sequence[Message], **options: Unpack[ChatOptions]
    ) -> Generator[Chunk]:
        """Send messages as `chat` does, and yield the answer in chunks as it arrives.

        An invalid request raises at once, everything else while iterating. Closing the iterator
        closes the connection. With ``schema`` the request asks for it, and the caller checks the
        answer: `qianfan_magic.api.structured.check_reply`.
        """
        return self.start("chat", messages, options).chunks()

    def complete(self, prompt: str, **options: Unpack[CompletionOptions]) -> Reply:
        """Have a model continue a text; returns and raises what `chat` does."""
        return self._reply("completion", prompt, options)

    def stream_complete(
        self, prompt: str, **options: Unpack[CompletionOptions]
    ) -> Generator[Chunk]:
        """Have a model continue a text, and yield its chunks as `stream_chat` does."""
        return self.start("completion", prompt, options).chunks()

    def run(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Callable[..., Any]],
        max_rounds: int = DEFAULT_ROUNDS,
        **options: Any,
    ) -> Reply:
        """Send messages, let the model call functions, and return its answer.

        The functions are described to the model by their signatures, annotations and docstrings.
        Each call that it asks for is checked against that description and made, in order, in this
        thread; its result goes back to the model, as does an exception of the function.

        Parameters
        ----------
        messages
            As in `chat`.
        tools
            The functions, also ``async def``. No other function is ever called.
        max_rounds
            Largest number of requests, from 1 to 100.
        **options
            For every request, as in `chat`.

        Raises
        ------
        ParameterError
            If a function cannot be described; the message names the argument.
        QianfanError
            If the model asks for calls in the last round, too; else as `chat` does.
        """
        check_rounds(max_rounds, "max_rounds")
        toolbox, conversation = read_tools(tools), [*messages]
        described = [dict(tool.declaration) for tool in toolbox.values()]
        choice = options.pop("tool_choice", None)
        for _ in range(max_rounds):
            more = {"tools": described, "tool_choice": choice}
            reply = self._reply("chat", conversation, {**options, **more})
            if not reply.tool_calls:
                return reply
            made = [make_call(call, toolbox).call for call in asked_calls(reply)]
            conversation += ToolRound(tuple(made), reply.text).messages()
            choice = later_choice(choice)
        raise rounds_error(max_rounds, tr("Raise max_rounds, or ask for less at once."))

    def map(
        self,
        prompts: Iterable[str | Sequence[Message]],
        *,
        executor: Executor | None = None,
        workers: int = MAP_WORKERS,
        **options: Any,
    ) -> Iterator[Reply | QianfanError]:
        """Send many requests at the same time, within the limits of the service.

        Parameters
        ----------
        prompts
            A text is completed, a list of messages is sent as a chat. It may have no end: it is
            read at most `AHEAD` times `workers` items before the reply that is taken.
        executor
            Sends the requests, such as one with other processes or computers; by default they are
            sent from here. The limits are kept from here in any case. It gets the token, not the
            keys that the token was fetched with; only keys that sign each request go along.
        workers
            How many requests are under way at the same time, from 1; the limits of the service
            may allow fewer.
        **options
            For every request, as in `chat` or `complete`.

        Yields
        ------
        Reply or QianfanError
            In the order of the prompts; a failed request does not affect the others. A request
            that the service refuses for its limits is sent again.
        """
        _check_prompts(prompts, workers)
        ask = partial(self.paced_reply, options=options, executor=executor)
        with _threads(workers) as pool:
            for paced in in_order(pool, ask, prompts, AHEAD * workers):
                yield paced.reply

    async def amap(
        self,
        prompts: Iterable[str | Sequence[Message]] | AsyncIterable[str | Sequence[Message]],
        *,
        workers: int = MAP_WORKERS,
        **options: Any,
    ) -> AsyncIterator[Reply | QianfanError]:
        """Send many requests as `map` does, without blocking the event loop.

        The prompts may be an asynchronous iterator, too.
        """
        _check_prompts(prompts, workers)
        ask = partial(self.paced_reply, options=options)
        with _threads(workers) as pool:
            async with aclosing(in_order_async(pool, ask, prompts, AHEAD * workers)) as replies:
                async for paced in replies:
                    yield paced.reply

    def paced_reply(
        self,
        prompt: str | Sequence[Message],
        options: Mapping[str, Any],
        service: Service | None = None,
        stopped: Event | None = None,
        executor: Executor | None = None,
    ) -> PacedReply:
        """Send one of many requests when the limits of the service allow it.

        Parameters
        ----------
        prompt
            A text is completed, a list of messages is sent as a chat.
        options
            As in `chat` or `complete`.
        service
            Where the request goes, if that is known already; by default the options decide.
        stopped
            Once it is set, a request that waits is not sent any more, and is an error.
        executor
            Sends the request, see `map`.
        """
        kind: Kind = "completion" if isinstance(prompt, str) else "chat"
        stopped = stopped or Event()
        try:
            service = service or self.service(kind, options)
            limiter = self._limiter(service)
            tokens = _prompt_tokens(prompt)
            deliver = partial(send_elsewhere, executor, self._connection) if executor else send
            for _ in range(MOST_REFUSALS):
                call = self.start(kind, prompt, options, service=service, stream=False)
                call.is_paced = True
                with limiter.slots.one(stopped):
                    if stopped.wait(limiter.reserve(tokens)):
                        break
                    try:
                        sent = deliver(call)
                        reply = self._checked(sent.reply, options)
                    except RateLimitError as error:
                        limiter.refused(error.retry_after)
                        refusal = error
                    else:
                        limiter.learn(sent.headers, reply.usage.completion_tokens)
                        return PacedReply(reply, sent.seconds)
            else:
                return PacedReply(refusal)
        except QianfanError as error:
            return PacedReply(error)
        return PacedReply(QianfanError(tr("The request was not sent: the cell was stopped")))

    def allowed_per_second(self, service: Service, tokens: int) -> float | None:
        """Return how many requests the limits of a service allow a second; None if unknown.

        Parameters
        ----------
        service
            The service; its answers have named the limits.
        tokens
            Tokens of the prompt of a request.
        """
        return self._limiter(service).per_second(tokens)

    def _limiter(self, service: Service) -> RateLimiter:
        account = self._connection.account(self.settings.url(service.version), service.name)
        return limiter_of(self._connection.cache_folder, account)

    @property
    def cache_folder(self) -> Path | None:
        """The folder of tokens and answers; None where the settings disable the cache."""
        return self._connection.cache_folder

    def models(self, *, fresh: bool = False) -> list[str]:
        """List the models that version 2 of the API offers for these credentials.

        Parameters
        ----------
        fresh
            Ask the service now; otherwise a list of the last 24 hours is used.

        Raises
        ------
        SettingsError, TransportError, APIError
            As `chat` does.
        """
        with short_interrupt("Stopped."):
            return self._connection.models(fresh=fresh)

    def service(
        self,
        kind: Kind,
        options: Mapping[str, Any],
        *,
        defaults: Sequence[tuple[str | None, str | None]] = (),
    ) -> Service:
        """Decide which service a request goes to; raises as `Catalogue.resolve` does.

        Parameters
        ----------
        kind
            The kind of request.
        options
            ``endpoint`` and ``model`` in it name the service.
        defaults
            Pairs of endpoint and model that take precedence over those of the settings.
        """
        settings = self.settings
        default = (settings.chat_endpoint, settings.model)
        if kind == "completion":
            default = (settings.complete_endpoint, settings.complete_model or settings.model)
        return self.catalogue.resolve(
            options.get("endpoint"),
            options.get("model"),
            kind,
            settings.versions,
            defaults=[*defaults, default],
        )

    def prepare(
        self,
        kind: Kind,
        content: Any,
        options: Mapping[str, Any],
        *,
        service: Service | None = None,
        stream: bool = True,
    ) -> Request:
        """Check a request and build it, without sending anything.

        Parameters
        ----------
        kind
            The kind of request.
        content
            The messages of a chat, or the prompt of a completion.
        options
            As in `chat`.
        service
            Where the request goes, if that is known already; by default the options decide.
        stream
            Whether the answer is to arrive in chunks.

        Raises
        ------
        ParameterError, SettingsError
            As `start` does.
        """
        service = service or self.service(kind, options)
        wire, settings = WIRES[service.version], self.settings
        base_url = settings.url(service.version)
        parameters = {k: value for k, value in options.items() if k not in _NOT_IN_BODY}
        if parameters.get("tools") and not service.can_call:
            raise _no_calls(service.name, self.catalogue)
        if isinstance(parameters.get("tools"), list | tuple):
            parameters["tools"] = declarations(parameters["tools"])
        if parameters.get("tool_choice") is not None:
            parameters["tool_choice"] = named_choice(parameters["tool_choice"])
        schema = _schema(options)
        if schema:
            content = schema.messages(kind, content, service)
            can_json = service.can_json and not service.can_schema
            parameters |= {"response_format": "json_object"} if can_json else {}
        response_format = schema.response_format(service) if schema else None
        more = {"response_format": response_format} if response_format else {}
        return Request(
            version=service.version,
            kind=kind,
            service=service.name,
            base_url=base_url,
            url=base_url + wire.path(kind, service.name),
            body=wire.body(kind, service, content, parameters, stream=stream) | more,
        )

    def start(
        self,
        kind: Kind,
        content: Any,
        options: Mapping[str, Any],
        *,
        service: Service | None = None,
        stream: bool = True,
    ) -> Call:
        """Check a request; return its call, which sends it and which another thread may abort.

        The parameters are those of `prepare`.

        Raises
        ------
        ParameterError, SettingsError
            If the request is invalid, or there are no credentials to decide where it goes.
        """
        sending = {
            parameter.name: parameter.check(options[parameter.name])
            for parameter in SENDING
            if options.get(parameter.name) is not None
        }
        settings = replace(
            self.settings,
            retry_timeout=sending.get("timeout", self.settings.retry_timeout),
            retry_count=sending.get("retries", self.settings.retry_count),
        )
        service = service or self.service(kind, options)
        request = self.prepare(kind, content, options, service=service, stream=stream)
        hint = ended_hint(service.card, datetime.now(UTC).date())
        return Call(self._connection, request, settings, model_hint=hint)

    def describe(self, request: Request) -> str:
        """Return a request as it goes over the wire, with every secret masked."""
        return self._connection.describe(request)

    def _reply(self, kind: Kind, content: Any, options: Mapping[str, Any]) -> Reply:
        service = self.service(kind, options)
        call = self.start(kind, content, options, service=service, stream=False)
        limiter = self._limiter(service)
        call.on_refusal = limiter.refused
        with short_interrupt(), limiter.slots.one(Event()):
            sent = send(call)
        limiter.learn(sent.headers, sent.reply.usage.completion_tokens)
        return self._checked(sent.reply, options)

    def _checked(self, reply: Reply, options: Mapping[str, Any]) -> Reply:
        schema = _schema(options)
        # A reply that asks for calls of functions is no answer yet.
        return reply if schema is None or reply.tool_calls else check_reply(reply, schema)


#: Warnings that were given in this process.
_warned: set[str] = set()


def _warn_once(settings: Settings) -> None:
    """Warn, once, of what makes tokens or keys less safe than the user may think."""
    for message in (*map(exposed_message, settings.exposed_urls), *_refused_cache(settings)):
        if message not in _warned:
            _warned.add(message)
            warnings.warn(message, stacklevel=3)


def _refused_cache(settings: Settings) -> Iterator[str]:
    """Say why the cache folder is not used, if it is refused."""
    reason = "" if settings.disable_cache else why_refused(cache_folder(settings))
    if reason:
        yield tr(
            "The cache folder is not used, since it {reason}: tokens and answers are kept in "
            "memory only. %qianfan doctor says what to do.",
            reason=reason,
        )


def exposed_message(url: str) -> str:
    """Say that a key is sent to an address unencrypted, and what to do."""
    return tr(
        "Your key is sent to {url} unencrypted, so that others in the network can read it; "
        "use https, or a key that is valid for this server alone.",
        url=url,
    )


def _no_calls(name: str, catalogue: Catalogue) -> ParameterError:
    able = [card.name for card in catalogue.cards if card.tools]
    return ParameterError(
        tr("{name} asks for no calls of functions (--tool; in Python, tools)", name=name),
        hint=tr(
            "Ask a model of version 2, or of version 1 one that does: {able}.",
            able=", ".join(able),
        ),
    )


def _prompt_tokens(prompt: str | Sequence[Message]) -> int:
    """Estimate the tokens of a prompt by Qianfan's rule of thumb."""
    texts = [prompt] if isinstance(prompt, str) else [str(m.get("content")) for m in prompt]
    return sum(map(estimate_tokens, texts))


def _check_prompts(prompts: object, workers: int) -> None:
    if isinstance(prompts, str):
        raise ParameterError(
            tr("prompts is a str, but must be a list"), hint=tr("Give a list of texts.")
        )
    if workers < 1:
        raise ParameterError(
            tr("workers is {workers}, but must be at least 1", workers=workers),
            hint=tr("It is the number of requests at the same time."),
        )


@contextmanager
def _threads(workers: int) -> Iterator[Executor]:
    """Return threads that end with the ``with`` block."""
    pool = ThreadPoolExecutor(workers, "qianfan-map")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _schema(options: Mapping[str, Any]) -> Schema | None:
    if options.get("schema") is None:
        return None
    if options.get("response_format") is not None:
        raise ParameterError(
            tr("schema and response_format exclude each other"),
            hint=tr("A schema asks for JSON itself."),
        )
    return read_schema(options["schema"])


def _with_arguments(settings: Settings | None, arguments: dict[str, Any]) -> Settings:
    """Let arguments take precedence over the settings, whose credentials are then not read."""
    base_url = arguments.pop("base_url", None)
    given = {name: value for name, value in arguments.items() if value is not None}
    credentials = one_way(Credentials(**given)) if given else None
    settings = settings or load_settings(credentials=credentials, check_addresses=not base_url)
    if credentials:
        settings = replace(settings, credentials=credentials)
    if base_url:
        settings = replace(
            settings,
            base_url=read_variable("QIANFAN_BASE_URL", base_url),
            console_api_base_url=read_variable("QIANFAN_CONSOLE_API_BASE_URL", base_url),
        )
    return settings
