"""A request as a Python program with Baidu's SDK, the package ``qianfan`` (read at 0.4.12.3)."""

from __future__ import annotations

from keyword import iskeyword
from textwrap import indent
from urllib.parse import urlsplit

from qianfan_magic.api.config.settings import (
    DEFAULT_BASE_URL,
    DEFAULT_CONSOLE_API_BASE_URL,
    DEFAULT_IAM_BASE_URL,
)
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire import v2
from qianfan_magic.errors import ParameterError
from qianfan_magic.snippets.python_literal import literal
from qianfan_magic.snippets.python_requests import answer_text, print_event
from qianfan_magic.snippets.request import SnippetRequest
from qianfan_magic.snippets.template import fill

__all__ = ["write_program"]

#: Addresses that a program need not set: the SDK has the same defaults as our settings.
_DEFAULTS = {
    "QIANFAN_BASE_URL": DEFAULT_BASE_URL,
    "QIANFAN_CONSOLE_API_BASE_URL": DEFAULT_CONSOLE_API_BASE_URL.removesuffix("/v2"),
    "QIANFAN_CHAT_V2_API_ROUTE": "/v2" + v2.PATHS["chat"],
    "QIANFAN_IAM_BASE_URL": DEFAULT_IAM_BASE_URL,
}
#: The SDK's names of variables that have another one here.
_SDK_NAMES = {"QIANFAN_API_KEY": "QIANFAN_BEARER_TOKEN"}
#: Parameters of the SDK's method ``do`` that it does not send to the service.
_NOT_SENT = frozenset(
    {
        *("adapt_openai_message_format", "auto_concat_truncate", "backoff_factor", "config"),
        *("endpoint", "headers", "query", "request_id", "request_timeout", "retry_count"),
        *("retry_err_codes", "retry_jitter", "retry_max_wait_interval", "self"),
        *("show_total_latency", "truncate_overlong_msgs", "truncated_continue_prompt"),
        *("use_function", "_auto_truncate", "_no_extra_parameters"),
    }
)
#: Seconds between two updates of the SDK's list of models: some 300 years.
_NEVER = "1e10"
# Without it the SDK adds its own name to the body.
_NO_EXTRA_PARAMETERS = "# Add nothing to the body:\n        _no_extra_parameters=True"
_REQUESTOR = "from qianfan.resources.requestor.openapi_requestor import QfAPIV2Requestor\n"


def write_program(request: SnippetRequest) -> str:
    """Write a program that prints the text of the answer.

    Raises
    ------
    ParameterError
        If the SDK would not send the body unchanged, or the request has no key.
    """
    if not request.method.fields:
        raise ParameterError(
            "The SDK needs a key, and this request was sent without one",
            hint="Write the request as python or as curl.",
        )
    variables = _environment(request).items()
    return fill(
        "qianfan_sdk.py",
        title=request.title("by the SDK (pip install qianfan)"),
        environment=_key_lines(request)
        + "".join(f"os.environ[{literal(k)}] = {literal(v)}\n" for k, v in variables),
        requestor=_REQUESTOR if _needs_requestor(request) else "",
        names=literal([_SDK_NAMES.get(name, name)[8:] for name in request.variables]),
        request=_send(request),
    )


def _key_lines(request: SnippetRequest) -> str:
    """Write the lines that give the SDK a key under the name that it reads."""
    return "".join(
        f"if {literal(name)} in os.environ:\n"
        f"    os.environ[{literal(sdk_name)}] = os.environ[{literal(name)}]\n"
        for name, sdk_name in _SDK_NAMES.items()
        if name in request.variables
    )


def _environment(request: SnippetRequest) -> dict[str, str]:
    """Return the environment variables for the SDK that differ from its defaults."""
    if request.version == ApiVersion.V1:
        variables = {"QIANFAN_BASE_URL": request.base_url}
        if request.is_signed:  # or the SDK first requests the list of models from version 2's host
            variables["QIANFAN_ACCESS_TOKEN_REFRESH_MIN_INTERVAL"] = _NEVER
    else:
        host, path = _split_path(request.base_url)
        variables = {"QIANFAN_CONSOLE_API_BASE_URL": host}
        if request.is_signed:
            variables["QIANFAN_IAM_BASE_URL"] = request.iam_url
        # The path is not left in the base URL, since the SDK would also append it to IAM's host.
        if not _needs_requestor(request):
            variables["QIANFAN_CHAT_V2_API_ROUTE"] = path + v2.PATHS["chat"]
    return {name: value for name, value in variables.items() if value != _DEFAULTS.get(name)}


def _split_path(url: str) -> tuple[str, str]:
    """Split an address into scheme and host, and the path."""
    path = urlsplit(url).path
    return url.removesuffix(path) if path else url, path


def _needs_requestor(request: SnippetRequest) -> bool:
    """Tell whether the SDK has no class for the request: its Completion is for version 1 only."""
    return request.version != ApiVersion.V1 and request.kind == "completion"


def _send(request: SnippetRequest) -> str:
    """Write the lines that send the request and print the answer, in a ``try`` block."""
    call = _requestor_call(request) if _needs_requestor(request) else _do_call(request)
    if not request.stream:
        return f"    answer = {call}\n    print({answer_text(request)})"
    return f"    for answer in {call}:\n{indent(print_event(request), ' ' * 8)}\n    print()"


def _requestor_call(request: SnippetRequest) -> str:
    path = _split_path(request.base_url)[1] + v2.PATHS["completion"]
    header = '{"appid": qianfan.get_config().APP_ID}' if request.app_id else "{}"
    arguments = [
        f"endpoint={literal(path)}",
        f"header={header}",
        f"stream={request.stream}",
        f"body={literal(request.body, 8)}",
    ]
    return _call("QfAPIV2Requestor().llm", arguments)


def _do_call(request: SnippetRequest) -> str:
    _check_body(request)
    is_v1 = request.version == ApiVersion.V1
    arguments = [f"endpoint={literal(request.url.rpartition('/')[2])}"] if is_v1 else []
    named = {k: v for k, v in request.body.items() if k.isidentifier() and not iskeyword(k)}
    other = {k: v for k, v in request.body.items() if k not in named}
    arguments += [f"{name}={literal(value, 8)}" for name, value in named.items()]
    arguments += [f"**{literal(other, 8)}"] if other else []
    arguments += [] if "extra_parameters" in request.body else [_NO_EXTRA_PARAMETERS]
    name = "ChatCompletion" if request.kind == "chat" else "Completion"
    return _call(f"qianfan.{name}({'' if is_v1 else 'version=2'}).do", arguments)


def _call(function: str, arguments: list[str]) -> str:
    rows = "".join(f"        {argument},\n" for argument in arguments)
    return f"{function}(\n{rows}    )"


def _check_body(request: SnippetRequest) -> None:
    not_sent = _NOT_SENT | ({"model"} if request.version == ApiVersion.V1 else set())
    found = sorted(not_sent & request.body.keys())
    if found:
        raise ParameterError(
            f"The SDK takes {', '.join(found)} for itself and would not send it",
            hint="Write the request as python or as curl.",
        )
