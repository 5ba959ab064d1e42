"""One template, asked for each row of a table: ``%%qianfan_map``."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from string import Formatter
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from qianfan_magic.api.batch.answers import Answer, Job
from qianfan_magic.api.batch.parallel import as_completed
from qianfan_magic.api.catalogue.token_estimate import estimate_tokens
from qianfan_magic.api.fenced_json import read_json
from qianfan_magic.errors import AuthError, ParameterError, QianfanError, SchemaError, SettingsError
from qianfan_magic.interrupts import interruptible_items
from qianfan_magic.language import tr
from qianfan_magic.session.usage import AnswerStats
from qianfan_magic.suggest import did_you_mean

if TYPE_CHECKING:
    from qianfan_magic.api.batch.answers import AnswerStore
    from qianfan_magic.api.catalogue.resolver import Service
    from qianfan_magic.api.client import PacedReply, QianfanClient
    from qianfan_magic.api.types import Kind, Reply

__all__ = [
    "MOST_WORKERS",
    "MapOptions",
    "MapResult",
    "TableMap",
    "estimate_prompts",
    "fill_rows",
    "read_rows",
    "row_keys",
]

#: How many requests are under way at the same time before the limits are known, and at most.
FIRST_WORKERS, MOST_WORKERS = 16, 64
#: The columns that are added to the table.
COLUMNS = ("answer", "tokens", "seconds", "error")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOptions:
    """The parsed flags of ``%%qianfan_map``.

    Attributes
    ----------
    data
        A Python expression, mostly the name of a table.
    request
        Options for the client that are given as flags.
    output, system, schema, dry_run
        As in `CellOptions`.
    jobs
        How many requests are under way at the same time; None if not given.
    dask
        The address of a Dask scheduler whose workers send the requests; None if not given.
    on_error
        Whether an error ends all (``stop``) or stands in its row (``keep``).
    fresh
        Whether rows that have an answer are asked again.
    retry_failed
        Whether rows that have an error are asked again.
    """

    data: str
    request: dict[str, Any] = field(default_factory=dict)
    output: str | None = None
    system: str | None = None
    schema: str | None = None
    dry_run: bool = False
    jobs: int | None = None
    dask: str | None = None
    on_error: Literal["keep", "stop"] = "keep"
    fresh: bool = False
    retry_failed: bool = False


@dataclass(slots=True)
class MapResult:
    """The answers to the rows of a table, as far as there are any.

    Attributes
    ----------
    answers
        For each row its answer; None for a row that has not been asked.
    asked, seconds
        Number of rows that were asked now, and the seconds that all of them took.
    error
        The error that ended it; None if none did.
    """

    answers: list[Answer | None]
    asked: int = 0
    seconds: float = 0.0
    error: QianfanError | None = None

    @property
    def failures(self) -> Counter[str]:
        """The numbers of rows with an error, by the name of the error's class."""
        return Counter(answer.kind for answer in self.answers if answer and answer.kind)

    def columns(self, schema: bool, taken: Iterable[str]) -> dict[str, list[Any]]:
        """Return the columns to add to the table, by their names.

        Parameters
        ----------
        schema
            Whether the answers are JSON objects, whose fields are columns of their own.
        taken
            Names of the table's columns; a new one gets a number behind its name.
        """
        answers = [answer or Answer(error=tr("not asked")) for answer in self.answers]
        columns: dict[str, list[Any]] = {}
        if schema:
            objects = [_object(answer.text) for answer in answers]
            for name in dict.fromkeys(name for one in objects for name in one):
                columns[name] = [one.get(name) for one in objects]
        columns |= {name: [getattr(one, _FIELDS[name]) for one in answers] for name in COLUMNS}
        names = set(taken)
        return {_free(name, names): values for name, values in columns.items()}


_FIELDS = {"answer": "text", "tokens": "tokens", "seconds": "seconds", "error": "error"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMap:
    """Asks a template for the rows of a table.

    Attributes
    ----------
    client
        Sends the requests.
    kind
        Whether each row is a chat of its own, or completed.
    service
        Where they go.
    template
        The text of the cell.
    options
        Request parameters, timeout, retries, and the schema that the answers have to fit.
    store
        Keeps the answers.
    stats
        The statistics of each answer are appended to this list.
    """

    client: QianfanClient
    kind: Kind
    service: Service
    template: str
    options: Mapping[str, Any]
    store: AnswerStore
    stats: list[AnswerStats]

    @property
    def job(self) -> str:
        """The job's id: a digest of all that decides how its requests are sent."""
        url = self.client.settings.url(self.service.version)
        schema = self.options.get("schema")
        options = {**self.options} | ({"schema": schema.document} if schema else {})
        named = json.dumps(options, sort_keys=True, default=str)
        return _digest(self.template, self.kind, self.service.name, url, named)

    def run(
        self,
        prompts: Sequence[str],
        options: MapOptions,
        progress: Callable[[Answer], None],
        executor: Executor | None = None,
    ) -> MapResult:
        """Ask for each prompt that has no answer yet; keep each answer as it comes.

        Parameters
        ----------
        prompts
            The filled template for each row.
        options
            The flags of the cell.
        progress
            Called with each answer, also with those that were there before.
        executor
            Sends the requests, see `QianfanClient.map`.

        Raises
        ------
        KeyboardInterrupt
            If the user stops it; its argument `result` has the answers so far.
        """
        rows = row_keys(prompts)
        self.store.begin(Job(self.job, self.template, self.service.name, len(rows)))
        before = {} if options.fresh else self.store.answers(self.job)
        if options.retry_failed:
            before = {row: answer for row, answer in before.items() if not answer.kind}
        result = MapResult([before.get(row) for row in rows])
        for answer in filter(None, result.answers):
            progress(answer)
        missing = [number for number, answer in enumerate(result.answers) if answer is None]
        stopped = Event()
        send = partial(
            self.client.paced_reply,
            options=self.options,
            service=self.service,
            stopped=stopped,
            executor=executor,
        )
        ask = partial(self._ask, send=send, rows=rows, prompts=prompts, stopped=stopped)
        pool = ThreadPoolExecutor(options.jobs or MOST_WORKERS, "qianfan-map")
        ahead = partial(self._workers, options, result, estimate_tokens(prompts[0]))
        try:
            answered = as_completed(pool, ask, missing, ahead)
            for number, (answer, error) in interruptible_items(answered):
                result.answers[number] = answer
                result.asked += 1
                result.seconds += answer.seconds
                progress(answer)
                # With a wrong key, every other row would fail, too.
                if error and (options.on_error == "stop" or isinstance(error, _HOPELESS)):
                    result.error = error
                    break
        except KeyboardInterrupt as interrupt:
            interrupt.result = result  # type: ignore[attr-defined]
            raise
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
        return result

    def _workers(self, options: MapOptions, result: MapResult, tokens: int) -> int:
        """Return how many requests may be under way: by default what the limits allow.

        That many are under way when requests come at the allowed rate, by the time that the
        answers so far have taken (Little's law), and a few more.
        """
        if options.jobs:
            return options.jobs
        allowed = self.client.allowed_per_second(self.service, tokens)
        if allowed is None or not result.asked:
            return FIRST_WORKERS
        needed = ceil(1.25 * allowed * result.seconds / result.asked) + 2
        return min(max(needed, FIRST_WORKERS), MOST_WORKERS)

    def _ask(
        self,
        number: int,
        *,
        send: Callable[[Any], PacedReply],
        rows: Sequence[str],
        prompts: Sequence[str],
        stopped: Event,
    ) -> tuple[Answer, QianfanError | None]:
        """Ask for one row and keep its answer, also if the cell was stopped meanwhile."""
        content: Any = prompts[number]
        if self.kind == "chat":
            content = [{"role": "user", "content": content}]
        paced = send(content)
        if isinstance(paced.reply, QianfanError):
            error = paced.reply
            text = error.reply.text if isinstance(error, SchemaError) and error.reply else ""
            answer = Answer(text, error=error.message, kind=type(error).__name__)
            if not (stopped.is_set() or isinstance(error, _HOPELESS)):
                self.store.keep(self.job, rows[number], answer)
            return answer, error
        answer = self._count(paced, paced.reply)
        self.store.keep(self.job, rows[number], answer)
        return answer, None

    def _count(self, paced: PacedReply, reply: Reply) -> Answer:
        stats = AnswerStats(self.service.name, reply.usage, paced.seconds, 0.0)
        self.stats.append(stats)
        return Answer(reply.text, reply.usage.total_tokens, round(paced.seconds, 3))


#: Errors that every row would meet.
_HOPELESS = (AuthError, SettingsError, ParameterError)


def read_rows(data: Any) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts.

    Parameters
    ----------
    data
        A DataFrame of pandas or polars, or an iterable of dicts.

    Raises
    ------
    ParameterError
        If it is none of them, or has no rows.
    """
    if hasattr(data, "to_dicts"):  # polars
        rows = data.to_dicts()
    elif hasattr(data, "to_dict") and hasattr(data, "columns"):  # pandas
        rows = data.to_dict("records")
    else:
        rows = list(data) if isinstance(data, Iterable) and not isinstance(data, str) else None
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        raise ParameterError(
            tr("The data are not a table with rows: {kind}", kind=type(data).__name__),
            hint=tr("Give a DataFrame, or a list of dicts."),
        )
    return [{str(name): value for name, value in row.items()} for row in rows]


def fill_rows(template: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Fill the places of a template for each row.

    Raises
    ------
    ParameterError
        For a place that is no column, with similar ones as the hint; for a format that does not
        fit a value.

    Examples
    --------
    >>> fill_rows("Is {word} a noun? {{yes}}", [{"word": "tree"}])
    ['Is tree a noun? {yes}']
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise ParameterError(
            tr("The template cannot be read: {error}", error=error),
            hint=tr("A literal brace is written twice: {{ or }}."),
        ) from None
    columns = list(dict.fromkeys(name for row in rows for name in row))
    names = [name for _, name, *_ in parts if name is not None]
    for name in names:
        if name not in columns:
            raise ParameterError(
                tr("The table has no column {name!r}", name=name),
                hint=did_you_mean(name, columns)
                or tr("It has {columns}.", columns=", ".join(columns)),
            )
    if not names:
        raise ParameterError(
            tr("The template has no place for a column"),
            hint=tr("Such as {column}: {columns}.", column="{column}", columns=", ".join(columns)),
        )
    return [
        "".join(
            literal + ("" if name is None else _place(row, number, name, spec or "", conversion))
            for literal, name, spec, conversion in parts
        )
        for number, row in enumerate(rows)
    ]


def _place(
    row: Mapping[str, Any], number: int, name: str, spec: str, conversion: str | None
) -> str:
    """Return what stands in the place of a column, such as ``{price:.2f}`` or ``{name!r}``."""
    try:
        value = Formatter().convert_field(row.get(name, ""), conversion)
        return format(value, spec)
    except (ValueError, TypeError) as error:
        place = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
        raise ParameterError(
            tr(
                "{place} of the template does not fit row {number}: {error}",
                place="{" + place + "}",
                number=number,
                error=error,
            ),
            hint=tr("{place} writes any value as it is.", place="{" + name + "}"),
        ) from None


def estimate_prompts(prompts: Sequence[str]) -> int:
    """Estimate the tokens of prompts by Qianfan's rule of thumb."""
    return sum(map(estimate_tokens, prompts))


def row_keys(prompts: Sequence[str]) -> list[str]:
    """Return a key for each row; rows of the same prompt are asked once each."""
    seen: Counter[str] = Counter()
    keys = []
    for prompt in prompts:
        seen[prompt] += 1
        keys.append(_digest(prompt, str(seen[prompt])))
    return keys


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:16]


def _object(text: str) -> dict[str, Any]:
    try:
        value = read_json(text).value
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _free(name: str, taken: set[str]) -> str:
    """Return a name that is not taken yet, and take it."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken.add(free)
    return free
