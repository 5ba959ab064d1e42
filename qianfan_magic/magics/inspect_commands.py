"""The subcommands that show models, requests and usage."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import TYPE_CHECKING

from qianfan_magic.api.config.addresses import is_baidu
from qianfan_magic.api.config.credentials import KEYLESS
from qianfan_magic.api.types import BOTH, ApiVersion, Kind
from qianfan_magic.errors import ParameterError, QianfanError
from qianfan_magic.language import tr
from qianfan_magic.magics.arguments import check_name
from qianfan_magic.magics.command import Command, add_output
from qianfan_magic.magics.context import MagicContext
from qianfan_magic.masking import mask_known
from qianfan_magic.snippets import LANGUAGES, program
from qianfan_magic.views.publish import publish, show_verbatim

if TYPE_CHECKING:
    from qianfan_magic.api.catalogue.cards import Card
    from qianfan_magic.api.client import QianfanClient
    from qianfan_magic.session.sender import RequestSender
    from qianfan_magic.snippets.request import SnippetRequest

__all__ = ["InspectCommands"]

#: Largest number of characters of a program that is shown with the data of its images.
MAX_PROGRAM = 20_000


class InspectCommands:
    """The subcommands that show models, requests and usage.

    Parameters
    ----------
    context
        The notebook.
    """

    def __init__(self, context: MagicContext) -> None:
        self._context = context
        self._session = context.session
        self.commands = [
            Command(
                "models",
                tr("the available models: their flags, their limits, and what they can do"),
                self._models,
                _add_models_arguments,
            ),
            Command(
                "request",
                tr(
                    "what the last cell sent and received, or a program for it: --as "
                    "curl|python|sdk"
                ),
                self._request,
                _add_request_arguments,
            ),
            Command(
                "usage",
                tr("answers, tokens and tokens per second so far, by model"),
                self._usage,
                lambda parser: add_output(parser, tr("also bind the table, as a list of dicts")),
            ),
        ]

    def _models(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.api.config.credentials import needed_variables
        from qianfan_magic.views.reports.tables import models_bundle

        listed, notes = None, []
        client = self._session.load_client()
        versions = client.settings.versions
        if ApiVersion.V1 not in versions and not arguments.all:
            notes.append(tr("Version 1's models, for private deployments: %qianfan models --all."))
        if ApiVersion.V2 in versions:
            try:
                listed = client.models(fresh=arguments.fresh)
                self._session.listed_models = listed
            except QianfanError as error:
                notes.append(
                    tr(
                        "The list of version 2 could not be requested: {problem}",
                        problem=error.message,
                    )
                )
        else:
            notes.append(
                tr(
                    "The model list of version 2 needs credentials: {variables}.",
                    variables=needed_variables(ApiVersion.V2),
                )
            )
        cards = _served_cards(client, listed)
        if not arguments.all:  # without any keys, those of the service's own version
            reached = versions or (ApiVersion.V2,)
            cards = [c for c in cards if c.version in reached or c.source == "yours"]
        publish(models_bundle(cards, listed, notes, self._defaults(client)))

    def _defaults(self, client: QianfanClient) -> dict[Kind, str]:
        """Return the service that a cell without flags asks, by kind."""
        defaults: dict[Kind, str] = {}
        for kind in BOTH:
            with suppress(QianfanError):
                defaults[kind] = self._context.service(client, kind).name
        return defaults

    def _request(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.api.http.exchange import exchange_to_dict

        name = check_name(arguments.output)
        sender, title = self._chosen(arguments.column)
        bound: object
        if arguments.language:
            bound = program(_snippet_request(sender), arguments.language)
            _show_program(bound)
        else:
            from qianfan_magic.views.reports.request import request_bundle

            bound = exchange_to_dict(sender.exchange, whole=bool(name))
            publish(request_bundle(sender.exchange, title))
        if name:
            self._context.shell.user_ns[name] = bound

    def _usage(self, arguments: argparse.Namespace) -> None:
        from qianfan_magic.api.http.exchange import limits_left
        from qianfan_magic.session.usage import totals_by_model
        from qianfan_magic.views.reports.tables import usage_bundle

        name = check_name(arguments.output)
        totals = totals_by_model(self._session.answer_stats)
        sent = self._session.sent
        publish(usage_bundle(totals, limits_left(sent[-1].exchange) if sent else ()))
        if name:
            self._context.shell.user_ns[name] = totals

    def _chosen(self, column: int | None) -> tuple[RequestSender, str]:
        """Return a sender of the last cell, and a title if there are several."""
        sent = self._session.sent
        if not sent:
            raise ParameterError(
                tr("The last cell sent nothing, or no cell has run yet"),
                hint=tr("Run a %%qianfan_chat cell; --dry-run shows what it would send."),
            )
        # The last of several rounds of calls has what the others have; of columns, the first.
        default = len(sent) if sent[-1].request.rounds else 1
        number = default if column is None else column
        if not 1 <= number <= len(sent):
            raise ParameterError(
                tr("There is no request {number}", number=number),
                hint=tr("There are the requests 1 to {count}.", count=len(sent)),
            )
        title = (
            tr("Request {number} of {count}", number=number, count=len(sent))
            if len(sent) > 1
            else ""
        )
        return sent[number - 1], title


def _served_cards(client: QianfanClient, listed: list[str] | None) -> list[Card]:
    """Return the cards to list: the user's alone if the server has models of its own only."""
    cards, settings = list(client.catalogue.cards), client.settings
    if any((card.model or card.name) in (listed or ()) for card in cards):
        return cards
    if is_baidu(settings.url(ApiVersion.V2)) or not (
        listed or settings.method(ApiVersion.V2) == KEYLESS
    ):
        return cards
    return [card for card in cards if card.source == "yours"]


def _show_program(text: str) -> None:
    from qianfan_magic.api.http.exchange import without_pictures

    if len(text) > MAX_PROGRAM and without_pictures(text) != text:
        text = without_pictures(text) + tr("# The pictures are left out here; -o VAR has them.")
    show_verbatim(mask_known(text))


def _snippet_request(sender: RequestSender) -> SnippetRequest:
    from qianfan_magic.api.http.connection import no_credentials_error
    from qianfan_magic.snippets.request import SnippetRequest

    request, settings = sender.exchange.request, sender.settings
    method = settings.method(request.version)
    if method is None:
        raise no_credentials_error(request.version)
    return SnippetRequest(
        version=request.version,
        kind=request.kind,
        url=request.url,
        base_url=request.base_url,
        body=request.body,
        method=method,
        iam_url=settings.iam_base_url,
        app_id=bool(settings.app_id),
    )


def _add_models_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fresh", action="store_true", help=tr("request the list now, not once a day")
    )
    parser.add_argument("--all", action="store_true", help=tr("also what your keys cannot reach"))


def _add_request_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "column", nargs="?", type=int, metavar="N", help=tr("which request of the cell, from 1")
    )
    parser.add_argument(
        "--as", dest="language", choices=LANGUAGES, help=tr("a program that sends it again")
    )
    add_output(parser, tr("also bind it: a dict, or the program's text"))
