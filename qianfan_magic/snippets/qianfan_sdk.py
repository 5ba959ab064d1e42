"""A request as a Python program with Baidu's SDK, the package ``qianfan`` (read at 0.4.12.3)."""

from __future__ import annotations

from keyword import iskeyword
from urllib.parse import urlsplit

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.errors import ParameterError
from qianfan_magic.snippets.python_literal import literal
from qianfan_magic.snippets.python_requests import answer_text
from qianfan_magic.snippets.request import SnippetRequest

_DEFAULTS = {
    "QIANFAN_BASE_URL": "https://aip.baidubce.com",
    "QIANFAN_CONSOLE_API_BASE_URL": "https://qianfan.baidubce.com",
    "QIANFAN_IAM_BASE_URL": "https://iam.bj.baidubce.com",
}
#: What the SDK's ``do`` takes for itself and does not send.
_TAKEN = frozenset(
    {
        *("adapt_openai_message_format", "auto_concat_truncate", "backoff_factor", "config"),
        *("endpoint", "headers", "query", "request_id", "request_timeout", "retry_count"),
        *("retry_err_codes", "retry_jitter", "retry_max_wait_interval", "self"),
        *("show_total_latency", "truncate_overlong_msgs", "truncated_continue_prompt"),
        *("use_function", "_auto_truncate", "_no_extra_parameters"),
    }
)
#: Seconds between two refreshings of the SDK's list of models: some 300 years.
_NEVER = "1e10"
#: Else the SDK adds its own name to the body.
_NOTHING_ELSE = "# Add nothing to the body:\n        _no_extra_parameters=True"
_LOG = "logging.disable()  # the SDK's log may show keys"
_CHECK = """\
for name in {names}:
    if not getattr(qianfan.get_config(), name):
        sys.exit(f"Set QIANFAN_{{name}} in the environment or in a file .env first.")

try:
"""
_END = """\
except qianfan.errors.APIError as error:
    sys.exit(f"The service answered error {error.error_code}: {error.error_msg}")
except qianfan.errors.RequestError as error:
    sys.exit(f"The service answered HTTP status {error.status_code}")
except Exception as error:  # its text may hold an address or a header with what is secret
    sys.exit(f"There is no answer: {type(error).__name__}")
"""
_WHOLE = """\
    answer = {call}
    print({text})
"""
_STREAM_1 = """\
    for answer in {call}:
        print({text}, end="", flush=True)
    print()
"""
_STREAM_2 = """\
    for answer in {call}:
        for choice in answer.get("choices", []):  # none beside the usage
            print({text}, end="", flush=True)
    print()
"""


def sdk(sent: SnippetRequest) -> str:
    """Write the program; it prints the text of the answer.

    Raises
    ------
    ParameterError
        If the SDK would not send the body as it is.
    """
    title = sent.title("by the SDK (pip install qianfan)")
    found = _environment(sent).items()
    found_lines = [f"os.environ[{literal(name)}] = {literal(value)}" for name, value in found]
    requestor = "from qianfan.resources.requestor.openapi_requestor import QfAPIV2Requestor"
    lines = [title, "import logging", "import os", "import sys", "", _LOG, *found_lines, ""]
    lines += ["import qianfan"]
    lines += [requestor] if _by_requestor(sent) else []
    names = literal([name.removeprefix("QIANFAN_") for name in sent.variables])
    return "\n".join([*lines, "", _CHECK.format(names=names)]) + _asking(sent) + _END


def _environment(sent: SnippetRequest) -> dict[str, str]:
    """Give what the SDK is to find in its environment, other than its defaults."""
    if sent.version == ApiVersion.V1:
        found = {"QIANFAN_BASE_URL": sent.base_url}
        if sent.way == "access_key":  # else it first asks version 2's host for the list
            found["QIANFAN_ACCESS_TOKEN_REFRESH_MIN_INTERVAL"] = _NEVER
    else:
        host, path = _host(sent.base_url)
        found = {"QIANFAN_CONSOLE_API_BASE_URL": host}
        if sent.way == "access_key":
            found["QIANFAN_IAM_BASE_URL"] = sent.iam_url
        if path and not _by_requestor(sent):  # which the SDK would put behind IAM's host, too
            found["QIANFAN_CHAT_V2_API_ROUTE"] = f"{path}/v2/chat/completions"
    return {name: value for name, value in found.items() if value != _DEFAULTS.get(name)}


def _host(url: str) -> tuple[str, str]:
    """Split an address into scheme and host, and the path behind them."""
    path = urlsplit(url).path
    return url.removesuffix(path) if path else url, path


def _by_requestor(sent: SnippetRequest) -> bool:
    """Tell whether the SDK has no class for this: its Completion knows version 1 alone."""
    return sent.version != ApiVersion.V1 and sent.kind == "completion"


def _asking(sent: SnippetRequest) -> str:
    if not sent.stream:
        return _WHOLE.format(call=_call(sent), text=answer_text(sent, "answer"))
    if sent.version == ApiVersion.V1:
        return _STREAM_1.format(call=_call(sent), text=answer_text(sent, "answer"))
    return _STREAM_2.format(call=_call(sent), text=answer_text(sent, "choice"))


def _call(sent: SnippetRequest) -> str:
    if _by_requestor(sent):
        route = _host(sent.base_url)[1] + "/v2/completions"
        header = '{"appid": qianfan.get_config().APP_ID}' if sent.app_id else "{}"
        given = [f"header={header}", f"stream={sent.stream}", f"body={literal(sent.body, 8)}"]
        return _written("QfAPIV2Requestor().llm", [f"endpoint={literal(route)}", *given])
    name = "ChatCompletion" if sent.kind == "chat" else "Completion"
    _check(sent)
    given = (
        [f"endpoint={literal(sent.url.rpartition('/')[2])}"]
        if sent.version == ApiVersion.V1
        else []
    )
    plain = {k: v for k, v in sent.body.items() if k.isidentifier() and not iskeyword(k)}
    other = {k: v for k, v in sent.body.items() if k not in plain}
    given += [f"{key}={literal(value, 8)}" for key, value in plain.items()]
    given += [f"**{literal(other, 8)}"] if other else []
    given += [] if "extra_parameters" in sent.body else [_NOTHING_ELSE]
    return _written(
        f"qianfan.{name}({'' if sent.version == ApiVersion.V1 else 'version=2'}).do",
        given,
    )


def _written(function: str, given: list[str]) -> str:
    rows = "".join(f"        {argument},\n" for argument in given)
    return f"{function}(\n{rows}    )"


def _check(sent: SnippetRequest) -> None:
    taken = sorted(
        (_TAKEN | ({"model"} if sent.version == ApiVersion.V1 else set())) & sent.body.keys()
    )
    if taken:
        raise ParameterError(
            f"The SDK takes {', '.join(taken)} for itself and would not send it",
            hint="Write the request as python or as curl.",
        )
