"""A request as a POSIX shell script with curl, and with openssl if something is signed."""

from __future__ import annotations

import json
from shlex import quote as shell_quote
from urllib.parse import quote, unquote, urlsplit

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS
from qianfan_magic.snippets.request import PROGRAM_BEARER_SECONDS, SnippetRequest
from qianfan_magic.snippets.template import fill

__all__ = ["write_program"]

_BEARER_QUERY = f"expireInSeconds={PROGRAM_BEARER_SECONDS}"
_OPEN_COMMAND = '{curl} "$url"'
_SIGNED_COMMAND = """\
{curl} \\
  -H "x-bce-date: $now" \\
  -H "Authorization: $prefix/content-type;host;x-bce-date/$signature" \\
  "$url\""""
# Every user of a computer can see the arguments of its processes.
_COMMAND = """\
# The secrets reach curl as a file (number 3), where other users cannot see them.
{curl} --config /dev/fd/3 3<<SECRET"""


def write_program(request: SnippetRequest) -> str:
    """Write a script that prints the response as it arrives."""
    body = _json(request)
    has_secrets = bool(request.variables) and request.signed_url != request.url
    return fill(
        "curl.sh",
        title=request.title("by curl"),
        checks="\n".join(f': "${{{name}:?Set {name} first.}}"' for name in request.variables),
        url=_quote_url(request.url),
        authentication=_authentication(request),
        command=_command(request, has_secrets=has_secrets).format(curl=_curl(request)),
        secrets=_secrets(request) if has_secrets else "",
        body=body,
        end=_delimiter(body),
    )


def _command(request: SnippetRequest, *, has_secrets: bool) -> str:
    if has_secrets:
        return _COMMAND
    return _SIGNED_COMMAND if request.signed_url == request.url else _OPEN_COMMAND


def _quote_url(url: str) -> str:
    """Quote an address for the shell; encode the quotes and braces that curl itself interprets."""
    return shell_quote(quote(url, safe="%:/@!&'()*+,;=~[]$"))


def _authentication(request: SnippetRequest) -> str:
    """Write the lines that fetch a token or compute the signature."""
    signature = _signature(request) if request.is_signed else ""
    if not request.token_url:
        return signature
    fetch, field = ("curl_bearer.sh", "token") if signature else ("curl_oauth.sh", "access_token")
    token_url = _quote_url(request.token_url)
    token = fill(fetch, token_url=token_url, query=_BEARER_QUERY)
    return signature + token + fill("curl_read_token.sh", field=field)


def _signature(request: SnippetRequest) -> str:
    parts = urlsplit(request.signed_url)
    # curl leaves the default port out of the header Host.
    host = parts.netloc.removesuffix(":443" if parts.scheme == "https" else ":80")
    headers = "host:" + quote(host, safe="")
    is_v1 = request.version == ApiVersion.V1
    return fill(
        "curl_sign.sh",
        path=shell_quote(quote(unquote(parts.path))),
        seconds=str(SIGNATURE_SECONDS),
        method="POST" if is_v1 else "GET",
        query="" if is_v1 else _BEARER_QUERY,
        headers="content-type:application%2Fjson\n" + headers if is_v1 else headers,
    )


def _curl(request: SnippetRequest) -> str:
    # -N: do not buffer.
    options = "-sSN" if request.stream else "-sS"
    return f"curl {options} -H 'Content-Type: application/json' --data-binary @-"


def _secrets(request: SnippetRequest) -> str:
    """Write a configuration for curl, in whose lines the shell inserts the secrets."""
    token = "$token" if request.token_url else f"${request.variables[0]}"
    if request.version == ApiVersion.V1:
        lines = [f'url = "$url?access_token={token}"']
    else:
        lines = ['url = "$url"']
        lines += [f'header = "Authorization: Bearer {token}"'] if request.method.fields else []
        lines += ['header = "appid: $QIANFAN_APP_ID"'] if request.app_id else []
    return "\n".join([*lines, "SECRET", ""])


def _json(request: SnippetRequest) -> str:
    """Write the body; escape what is not printable, since it would not survive copying."""
    text = json.dumps(request.body, ensure_ascii=False, indent=2)
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return "".join(shown)


def _delimiter(body: str) -> str:
    """Return a delimiter of a here-document that does not occur in the body."""
    end = "EOF"
    while end in body:
        end += "_"
    return end
