"""Running one cell: its request is sent, its answer shown, and its conversation updated."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qianfan_magic.api.structured import check_reply
from qianfan_magic.errors import QianfanError, SchemaError
from qianfan_magic.interrupts import hold_interrupts
from qianfan_magic.language import tr
from qianfan_magic.masking import mask_known
from qianfan_magic.session.answer_stream import AnswerStream
from qianfan_magic.session.cell_request import CellRequest
from qianfan_magic.session.comparison import columns_output, read_side_by_side
from qianfan_magic.session.last_answer import LastAnswer, cell_number, change_notes
from qianfan_magic.session.sender import RequestSender

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.api.types import Reply
    from qianfan_magic.session.session import Session
    from qianfan_magic.views.factory import View
    from qianfan_magic.views.output_area import OutputArea
    from qianfan_magic.views.rendering.answer import AnswerOutput
    from qianfan_magic.views.side_by_side import Columns

__all__ = ["CellRunner"]


class CellRunner:
    """Runs the requests of the cells of one notebook.

    Parameters
    ----------
    shell
        The shell that runs the cells.
    session
        The state of the notebook.
    client
        The client with the settings and cards of this cell.
    """

    def __init__(self, shell: InteractiveShell, session: Session, client: QianfanClient) -> None:
        self._shell = shell
        self._session = session
        self._client = client

    def run(self, request: CellRequest) -> None:
        """Send the request, show its answer and update the conversation.

        Raises
        ------
        KeyboardInterrupt
            What has arrived is shown, and kept in the conversation, marked as stopped.
        QianfanError
            If the request fails, or the answer does not have the requested format.
        """
        from qianfan_magic.views.factory import make_output_area

        area = make_output_area(self._shell, self._client.settings.live, request.options.into)
        with hold_interrupts():
            if request.options.compare:
                self._compare(request, area)
            else:
                self._answer(request, area)

    def stream(self, request: CellRequest, area: OutputArea) -> tuple[AnswerStream, View]:
        """Send a request and show its answer as it arrives; the caller ends the view.

        Raises
        ------
        QianfanError
            If it fails; the view has then been ended, and shows what had arrived.
        """
        answer = self._start(request)
        self._session.sent = answer.senders
        view = self._view(request, [answer], area)
        try:
            answer.read(view, self._rich)
        except BaseException:
            view.end(answer.output())
            raise
        return answer, view

    def _answer(self, request: CellRequest, area: OutputArea) -> None:
        answer, view = self.stream(request, area)
        self._session.last_answer = last = LastAnswer(request, area, cell_number(self._shell))
        record = last.add_to_conversation(answer, self._session.conversations)
        has_code = request.format == "code" and not answer.interrupt
        code_note = [tr("The code is in the next cell.")] * has_code
        output = answer.output([*change_notes(request, record), *code_note])
        view.end(output, record)
        self._remember(last, output, record)
        if answer.interrupt:
            raise answer.interrupt
        reply, error = _checked(answer)
        self._bind(request, reply)
        if has_code:
            from qianfan_magic.views.rendering.formats import extract_code

            self._shell.set_next_input(mask_known(extract_code(answer.reply.text)))
        _raise(error)

    def _compare(self, request: CellRequest, area: OutputArea) -> None:
        """Get several answers at once; a chat continues from the first, if it succeeds."""
        variants = request.variants().items()
        columns = tuple(self._start(variant, title) for title, variant in variants)
        self._session.sent = [column.sender for column in columns]
        view = self._view(request, columns, area)
        store, conversation = self._session.conversations, request.conversation
        before = store.get(conversation.name) if conversation else None
        self._session.last_answer = last = LastAnswer(
            request, area, cell_number(self._shell), before, columns
        )
        try:
            read_side_by_side(columns, view)
        finally:
            record: Mapping[str, Any] = {}
            if not columns[0].has_failed:
                record = last.add_to_conversation(columns[0], store)
                last.kept = int(last.is_in_conversation)
            output = columns_output(columns, change_notes(request, record))
            view.end(output, record)
            self._remember(last, output, record)
        checked = [_checked(column) for column in columns]
        pairs = zip(columns, checked, strict=True)
        self._bind(request, [column.error or reply for column, (reply, _) in pairs])
        for number, (column, (_, misfit)) in enumerate(zip(columns, checked, strict=True), 1):
            error = column.error or misfit
            _raise(
                error
                and _with_column(
                    error, tr("Column {number} ({title})", number=number, title=column.title)
                )
            )

    def _start(self, request: CellRequest, title: str = "") -> AnswerStream:
        sender = RequestSender(self._client, request, self._session.answer_stats)
        self._session.remember_service(request.service.name)
        return AnswerStream(sender, title)

    def _view(
        self, request: CellRequest, answers: Sequence[AnswerStream], area: OutputArea
    ) -> View:
        from qianfan_magic.views.factory import make_view

        live, heads = self._client.settings.live, [answer.head for answer in answers]
        return make_view(self._shell, live, heads, form=request.view_format, area=area)

    def _rich(self, value: Any) -> Mapping[str, str]:
        """Return what IPython shows of a table or a figure; nothing for another value."""
        formatter = self._shell.display_formatter
        if value is None or isinstance(value, str | int | float | list | dict) or not formatter:
            return {}
        wanted = {"text/plain", "text/html", "image/png"}
        shown, _ = formatter.format(value, include=wanted)
        if isinstance(shown.get("image/png"), bytes):
            shown["image/png"] = base64.b64encode(shown["image/png"]).decode()
        is_rich = {"text/html", "image/png"} & shown.keys()
        return {kind: str(content) for kind, content in shown.items()} if is_rich else {}

    def _remember(
        self, last: LastAnswer, output: AnswerOutput | Columns, record: Mapping[str, Any]
    ) -> None:
        """Remember what the page shows of a turn, so that it is marked once it is dropped."""
        from qianfan_magic.views.factory import is_watched

        if is_watched(self._shell, self._client.settings.live):
            self._session.shown.remember(last, output, record)

    def _bind(self, request: CellRequest, value: Any) -> None:
        if request.options.output:
            self._shell.user_ns[request.options.output] = value


def _raise(error: BaseException | None) -> None:
    if error:
        raise error


def _checked(answer: AnswerStream) -> tuple[Reply, QianfanError | None]:
    """Return the reply, with the object that its schema describes, and what is wrong with it."""
    schema = answer.request.schema
    if schema is None or answer.has_failed:
        return answer.reply, _json_error(answer)
    try:
        return check_reply(answer.reply, schema), None
    except SchemaError as error:
        return answer.reply, error


def _json_error(answer: AnswerStream) -> QianfanError | None:
    """Return the error of an answer that should be JSON and is not; None for all others."""
    from qianfan_magic.views.rendering.formats import pretty

    if answer.request.format != "json":
        return None
    try:
        pretty(answer.reply.text)
    except ValueError as error:
        return QianfanError(
            tr("The answer is not JSON: {error}", error=error),
            hint=tr(
                "It is shown as it arrived. Ask for JSON and nothing else, or use --format text."
            ),
        )
    return None


def _with_column(error: BaseException, column: str) -> BaseException:
    """Prefix an error's message with the column that it belongs to."""
    if isinstance(error, QianfanError):
        error.message = f"{column}: {error.message}"
        error.args = (error.message,)
    return error
