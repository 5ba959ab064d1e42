"""``%%qianfan_map``: a template, asked for each row of a table; and ``%qianfan jobs``."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import argument, magic_arguments

from qianfan_magic.api.catalogue.parameters import FLAGGED, SENDING, check_text
from qianfan_magic.api.extras import import_extra
from qianfan_magic.api.types import BOTH
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.interrupts import hold_interrupts
from qianfan_magic.language import tr
from qianfan_magic.magics.arguments import EVERYDAY, SERVICE, check_name, flag_of, options_of
from qianfan_magic.magics.command import Command
from qianfan_magic.magics.parse_errors import closing_quote_error, parse_error
from qianfan_magic.session.cell_options import CellOptions
from qianfan_magic.session.table_map import (
    MOST_WORKERS,
    MapOptions,
    MapResult,
    TableMap,
    estimate_prompts,
    fill_rows,
    read_rows,
)
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.types import Kind
    from qianfan_magic.magics.context import MagicContext

__all__ = ["MAP_EVERYDAY", "JobsCommand", "map_flags", "parse_map", "run_map"]

#: Seconds to wait for a Dask scheduler.
CONNECT_TIMEOUT = 10
#: Number of prompts that a dry run shows.
SHOWN_PROMPTS = 3
#: Destinations of the flags that the help lists first.
MAP_EVERYDAY = ("data", *(action for action in EVERYDAY if action != "image"), "jobs", "schema")
_NAME = "%%qianfan_map"
_FLAGS = (
    argument("data", metavar="DATA", help=tr("a DataFrame, or a list of dicts")),
    argument("-o", "--output", help=tr("store the table with the answers in this variable")),
    argument("-s", "--system", help=tr("how the model is to behave")),
    argument(
        "--schema",
        metavar="NAME",
        help=tr("answers fit this variable, and its fields become columns"),
    ),
    argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help=tr("how many requests at the same time; by default what the limits allow"),
    ),
    argument(
        "--on-error",
        choices=("keep", "stop"),
        default="keep",
        help=tr("keep errors in their rows, or stop at the first"),
    ),
    argument(
        "--dask", metavar="ADDRESS", help=tr("let the workers of this Dask scheduler send them")
    ),
    argument("--fresh", action="store_true", help=tr("ask again for rows that have an answer")),
    argument(
        "--retry-failed", action="store_true", help=tr("ask again for the rows that have an error")
    ),
    argument("--dry-run", action="store_true", help=tr("show the first prompts, and send nothing")),
    argument("-h", "--help", action="store_true", help=tr("show this help")),
)


def map_flags() -> Callable[[Any], Any]:
    """Make a decorator that gives the magic its flags."""
    parameters = [flag_of(parameter) for parameter in FLAGGED if "chat" in parameter.kinds]
    sending = [flag_of(parameter) for parameter in SENDING]

    def decorate(magic: Any) -> Any:
        for decorator in reversed(
            (magic_arguments("%qianfan_map"), *_FLAGS, *SERVICE, *parameters, *sending)
        ):
            magic = decorator(magic)
        return magic

    return decorate


def parse_map(magic: Any, line: str) -> MapOptions | None:
    """Parse the line of the magic; return None if it asks for help.

    Raises
    ------
    ParameterError
        For an unknown flag, or a missing or invalid value.
    """
    try:
        words = shlex.split(line)
        if {"-h", "--help"} & set(words):
            return None
        parsed = magic.parser.parse_args(words)
    except ValueError:
        raise closing_quote_error(_NAME) from None
    except (UsageError, argparse.ArgumentError) as error:
        raise parse_error(magic.parser, _NAME, str(error)) from None
    if parsed.jobs is not None and not 1 <= parsed.jobs <= MOST_WORKERS:
        raise ParameterError(
            tr("-j is {jobs}, but must be from 1 to {most}", jobs=parsed.jobs, most=MOST_WORKERS),
            hint=tr("It is the number of requests at the same time."),
        )
    return MapOptions(
        data=parsed.data,
        request=options_of(parsed),
        output=check_name(parsed.output),
        system=parsed.system,
        schema=parsed.schema,
        dry_run=parsed.dry_run,
        jobs=parsed.jobs,
        dask=parsed.dask,
        on_error=parsed.on_error,
        fresh=parsed.fresh,
        retry_failed=parsed.retry_failed,
    )


def run_map(context: MagicContext, options: MapOptions, cell: str) -> None:
    """Ask the template for each row, show the totals, and bind the table.

    Raises
    ------
    KeyboardInterrupt
        After the table has been bound as far as it is answered.
    QianfanError
        If nothing can be asked, or an error ended it; the table is bound as far as it goes.
    """
    from qianfan_magic.views.progress import Progress

    template = check_text(cell.strip("\r\n"), tr("The cell"))
    data = _evaluate(context, options.data)
    rows = read_rows(data)
    prompts = fill_rows(template, rows)
    client = context.session.load_client()
    cell_options = CellOptions(request=options.request, schema=options.schema)
    kind = _kind(client, options.request)
    request = context.make_request(client, kind, cell_options, prompts[0])
    parameters = request.parameters | ({"system": options.system} if options.system else {})
    schema = {"schema": request.schema} if request.schema else {}
    service = request.service
    if options.dry_run:
        show(_dry_run(prompts, service.label))
        return
    table = TableMap(
        client=client,
        kind=kind,
        service=service,
        template=template,
        options=parameters | schema,
        store=context.session.answer_store(client),
        stats=context.session.answer_stats,
    )
    context.session.remember_service(service.name)
    with _cluster(options.dask) as executor, hold_interrupts():
        progress = Progress(context.shell, len(rows), is_watched=context.is_watched())
        result = MapResult([])
        try:
            result = table.run(
                prompts,
                options,
                lambda answer: progress.add(answer.tokens, failed=bool(answer.kind)),
                executor,
            )
        except KeyboardInterrupt as interrupt:
            result = getattr(interrupt, "result", result)
            raise
        finally:
            progress.end(_totals(result, len(rows), service.label))
            if result.answers:
                answers = result.columns(bool(request.schema), rows[0])
                _bind(context, options.output, _with_columns(data, rows, answers))
    if result.error:
        raise result.error


def _totals(result: MapResult, rows: int, service: str) -> str:
    """Return the line of totals, and below it what to do about rows without an answer."""
    from qianfan_magic.views.progress import totals_text

    tokens = sum(answer.tokens for answer in result.answers if answer)
    answered = sum(answer is not None and not answer.kind for answer in result.answers)
    failures = result.failures
    missing, failed = rows - answered, sum(failures.values())
    lines = [totals_text(rows, answered, failures, tokens, service)]
    if failed and failed == missing:
        lines.append(tr("--retry-failed asks again for the rows that failed."))
    if missing > failed:
        lines.append(tr("Run the cell again: it asks for the rows that are missing."))
    return "\n".join(lines)


@contextmanager
def _cluster(address: str | None) -> Iterator[Executor | None]:
    """Connect to a Dask scheduler; yield its workers as an executor, or None without an address."""
    if address is None:
        yield None
        return
    distributed = import_extra("distributed", "batch")
    try:
        client = distributed.Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ParameterError(
            tr(
                "--dask: no scheduler answers at {address!r}: {error}", address=address, error=error
            ),
            hint=tr("Such as --dask tcp://127.0.0.1:8786, where dask scheduler runs."),
        ) from None
    with client:
        yield client.get_executor(pure=False)


def _kind(client: QianfanClient, request: Mapping[str, Any]) -> Kind:
    """Return the kind of the requests: a chat, unless the model only completes."""
    catalogue, endpoint = client.catalogue, request.get("endpoint", "")
    cards = catalogue.named(request["model"]) if "model" in request else []
    if endpoint and not cards:
        found = [catalogue.of_endpoint(endpoint, kind) for kind in BOTH]
        cards = [card for card in found if card]
    return "completion" if cards and not any("chat" in card.kinds for card in cards) else "chat"


def _dry_run(prompts: list[str], service: str) -> str:
    shown = "\n\n---\n\n".join(prompts[:SHOWN_PROMPTS])
    tokens = tr(
        "{service}: {rows:,} requests, about {tokens:,} tokens in their prompts.",
        service=service,
        rows=len(prompts),
        tokens=estimate_prompts(prompts),
    )
    return f"{shown}\n\n---\n\n{tokens}"


def _evaluate(context: MagicContext, text: str) -> Any:
    """Return the value of DATA, an expression in the notebook's variables."""
    try:
        return context.shell.ev(text)
    except Exception as error:  # noqa: BLE001  whatever the user's expression raises
        raise ParameterError(
            tr(
                "{data!r} has no value: {kind}: {error}",
                data=text,
                kind=type(error).__name__,
                error=error,
            ),
            hint=tr("Give the name of a DataFrame, or of a list of dicts."),
        ) from None


def _with_columns(data: Any, rows: list[dict[str, Any]], columns: Mapping[str, list[Any]]) -> Any:
    """Return the table with further columns, of the kind that it was."""
    if hasattr(data, "to_dicts") and hasattr(data, "hstack"):  # polars
        return data.hstack(type(data)(columns, strict=False))
    try:
        import pandas as pd
    except ImportError:
        return [
            row | {name: values[number] for name, values in columns.items()}
            for number, row in enumerate(rows)
        ]
    frame = data.copy() if isinstance(data, pd.DataFrame) else pd.DataFrame(rows)
    for name, values in columns.items():
        frame[name] = pd.Series(values, index=frame.index)
    return frame


def _bind(context: MagicContext, name: str | None, table: Any) -> None:
    from IPython.display import display

    if name:
        context.shell.user_ns[name] = table
    else:
        display(table)


class JobsCommand:
    """The subcommand that lists, shows and forgets what ``%%qianfan_map`` has asked.

    Parameters
    ----------
    context
        The notebook.
    """

    def __init__(self, context: MagicContext) -> None:
        self._context = context
        self.command = Command(
            "jobs",
            tr("the tables that %%qianfan_map has asked; jobs ID shows one, --forget deletes it"),
            self._run,
            _add_arguments,
        )

    def _run(self, arguments: argparse.Namespace) -> None:
        session = self._context.session
        store = session.answer_store(session.load_client())
        jobs = store.jobs()
        chosen = [job for job in jobs if job.id.startswith(arguments.job or "")]
        if arguments.job and not chosen:
            raise ParameterError(
                tr("There is no job {job!r}", job=arguments.job),
                hint=tr("%qianfan jobs lists them."),
            )
        if arguments.forget:
            if not arguments.job and not arguments.all:
                raise QianfanError(
                    tr("Which job is to be forgotten?"),
                    hint=tr("Give its id, or --all."),
                )
            store.forget([job.id for job in chosen])
            show(tr("Forgotten: {count} jobs.", count=len(chosen)))
        elif arguments.job:
            show("\n\n".join(job.template for job in chosen))
        else:
            self._list(jobs)

    def _list(self, jobs: list[Any]) -> None:
        from qianfan_magic.views.reports.tables import table_bundle

        if not jobs:
            show(tr("No table has been asked yet: %%qianfan_map -h."))
            return
        rows = [
            (
                job.id,
                job.template.split("\n")[0][:40],
                job.service,
                f"{job.answered:,}",
                f"{job.failed:,}",
                f"{job.rows:,}",
                time.strftime("%Y-%m-%d %H:%M", time.localtime(job.at)),
            )
            for job in jobs
        ]
        headers = ("id", "template", "model", "answered", "failed", "rows", "last run")
        publish(table_bundle(headers, rows, numbers=("answered", "failed", "rows")))


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", nargs="?", metavar="ID", help=tr("the first letters are enough"))
    parser.add_argument("--forget", action="store_true", help=tr("delete it and its answers"))
    parser.add_argument("--all", action="store_true", help=tr("with --forget: all"))
