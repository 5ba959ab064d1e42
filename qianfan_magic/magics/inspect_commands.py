"""``%qianfan`` subcommands that show what there is to ask, and what is sent."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.masking import mask_known
from qianfan_magic.snippets import LANGUAGES, program
from qianfan_magic.views.publish import publish, show

if TYPE_CHECKING:
    from qianfan_magic.magics.magics import QianfanMagics
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.session.session import Session
    from qianfan_magic.snippets.request import SnippetRequest

SUBCOMMANDS = {
    "models": "the models that can be asked: how, with which limits, and what they can",
    "request": "what the last cell sent and got, or a program that sends it: --as curl|python|sdk",
}
#: Characters of a picture's data above which a program is shown without it.
LONGEST_SHOWN = 20_000


def add_arguments(parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Give the parsers of these subcommands their arguments."""
    models, request = parsers["models"], parsers["request"]
    models.add_argument("--fresh", action="store_true", help="ask the service now, not once a day")
    request.add_argument("column", nargs="?", type=int, metavar="N", help="after --compare, from 1")
    request.add_argument(
        "--as", dest="language", choices=LANGUAGES, help="a program that sends it once more"
    )
    request.add_argument(
        "-o", "--output", metavar="VAR", help="also bind it: a dict, or the program's text"
    )


class Seeing:
    """Runs these subcommands.

    Parameters
    ----------
    magics
        Whose requests they show.
    """

    def __init__(self, magics: QianfanMagics) -> None:
        self._magics = magics

    def runs(self) -> dict[str, Callable[[argparse.Namespace], None]]:
        """Return what runs each of them."""
        return {"models": self._models, "request": self._request}

    @property
    def _session(self) -> Session:
        return self._magics.session

    def _models(self, read: argparse.Namespace) -> None:
        from qianfan_magic.views.reports.tables import models_bundle

        listed, notes = None, []
        versions = self._session.settings.credentials.versions
        if versions and ApiVersion.V1 not in versions:
            notes.append("Version 1 is not open to your keys: it needs QIANFAN_AK and QIANFAN_SK.")
        if ApiVersion.V2 in versions:
            try:
                listed = self._session.client.models(fresh=read.fresh)
                self._session.listed = listed
            except QianfanError as error:
                notes.append(f"Version 2 could not be asked for its list: {error.message}")
        else:
            notes.append(
                "Version 2 was not asked for its list: that needs QIANFAN_BEARER_TOKEN, or "
                "QIANFAN_ACCESS_KEY and QIANFAN_SECRET_KEY."
            )
        publish(models_bundle(self._session.catalogue.cards, listed, notes))

    def _request(self, read: argparse.Namespace) -> None:
        from qianfan_magic.api.http.exchange import exchange_to_dict, without_pictures

        name = check_name(read.output)
        sending, which = self._chosen(read.column)
        bound: object
        if read.language:
            bound = text = program(self._sent(sending), read.language)
            if len(text) > LONGEST_SHOWN and without_pictures(text) != text:
                text = without_pictures(text) + "# The pictures are left out here; -o VAR has them."
            show(mask_known(text))
        else:
            from qianfan_magic.views.reports.request import request_bundle

            bound = exchange_to_dict(sending.exchange)
            publish(request_bundle(sending.exchange, which))
        if name:
            self._magics.shell.user_ns[name] = bound

    def _chosen(self, column: int | None) -> tuple[RequestSender, str]:
        sent = self._session.sent
        if not sent:
            raise ParameterError(
                "The last cell sent nothing, or none has asked yet",
                hint="Run a cell that asks; --dry-run shows what it would send.",
            )
        number = 1 if column is None else column
        if not 1 <= number <= len(sent):
            raise ParameterError(
                f"There is no request {number}", hint=f"There are the requests 1 to {len(sent)}."
            )
        which = f"Request {number} of {len(sent)}" if len(sent) > 1 else ""
        return sent[number - 1], which

    def _sent(self, sending: RequestSender) -> SnippetRequest:
        from qianfan_magic.api.http.connection import no_credentials_error
        from qianfan_magic.snippets.request import SnippetRequest

        request, settings = sending.exchange.request, sending.settings
        way = settings.credentials.way(request.version)
        if not way:
            raise no_credentials_error(request.version)
        return SnippetRequest(
            version=request.version,
            kind=request.kind,
            service=request.service,
            url=request.url,
            base_url=request.base_url,
            body=request.body,
            way=way,  # type: ignore[arg-type]
            iam_url=settings.iam_base_url,
            app_id=bool(settings.app_id),
        )
