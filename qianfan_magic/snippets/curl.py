"""A request as a POSIX shell script with curl, and openssl where something is signed."""

from __future__ import annotations

import json
from shlex import quote as quoted
from urllib.parse import quote, unquote, urlsplit

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.snippets.request import BEARER_SECONDS, SIGNATURE_SECONDS, SnippetRequest

_LATER = """\
# Save it as ask.sh and run:  sh ask.sh
# To take the variables from a file .env, before that:  set -a; . ./.env; set +a"""
# Every user of a computer can see the arguments of its programs.
_SECRETS = "# The secrets reach curl as a file (number 3), where other users cannot see them."
_READ = """\
token=$(printf '%s\\n' "$answer" | sed -n 's/.*"{name}" *: *"\\([^"]*\\)".*/\\1/p')
[ -n "$token" ] || {{ printf 'There is no token: %s\\n' "$answer" >&2; exit 1; }}"""
_SIGN = """\
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
prefix="bce-auth-v1/$QIANFAN_ACCESS_KEY/$now/{seconds}"
canonical="{method}
$path
{query}
{headers}
x-bce-date:$(printf %s "$now" | sed 's/:/%3A/g')"
hmac() {{ printf %s "$2" | openssl dgst -sha256 -hmac "$1" | sed 's/^.* //'; }}
key=$(hmac "$QIANFAN_SECRET_KEY" "$prefix")
signature=$(hmac "$key" "$canonical")"""


def curl(sent: SnippetRequest) -> str:
    """Write the script; it prints what the service answers, as it comes."""
    needed = [f': "${{{name}:?Set {name} first.}}"' for name in sent.variables]
    parts = [sent.title("by curl"), _LATER, *needed, "", f"url={_address(sent.url)}"]
    return "\n".join([*parts, *_entry(sent), *_request(sent)]) + "\n"


def _address(url: str) -> str:
    """Quote an address for the shell, and what curl's own quotes and brackets would change."""
    return quoted(quote(url, safe="%:/@!&'()*+,;=~[]$"))


def _entry(sent: SnippetRequest) -> list[str]:
    """Fetch or compute what lets the request in."""
    if sent.way == "ak":
        return _access_token(sent)
    if sent.way == "access_key":
        return _signature(sent) if sent.version == ApiVersion.V1 else _bearer_token(sent)
    return []


def _access_token(sent: SnippetRequest) -> list[str]:
    query = "grant_type=client_credentials&client_id=$QIANFAN_AK&client_secret=$QIANFAN_SK"
    return [
        f"token_url={_address(f'{sent.base_url}/oauth/2.0/token')}",
        "answer=$(curl -sS --data '' --config - <<SECRET",
        f'url = "$token_url?{query}"',
        "SECRET",
        ")",
        _READ.format(name="access_token"),
    ]


def _signature(sent: SnippetRequest) -> list[str]:
    parts = urlsplit(sent.signed)
    default = ":443" if parts.scheme == "https" else ":80"  # which curl leaves out, too
    headers = ["host:" + quote(parts.netloc.removesuffix(default), safe="")]
    if sent.version == ApiVersion.V1:
        headers.insert(0, "content-type:application%2Fjson")
    text = _SIGN.format(
        seconds=SIGNATURE_SECONDS,
        method="POST" if sent.version == ApiVersion.V1 else "GET",
        query="" if sent.version == ApiVersion.V1 else f"expireInSeconds={BEARER_SECONDS}",
        headers="\n".join(headers),
    )
    return [f"path={quoted(quote(unquote(parts.path)))}", text]


def _bearer_token(sent: SnippetRequest) -> list[str]:
    return [
        *_signature(sent),
        f"token_url={_address(sent.signed)}",
        'answer=$(curl -sS -H "x-bce-date: $now" \\',
        '  -H "Authorization: $prefix/host;x-bce-date/$signature" \\',
        f'  "$token_url?expireInSeconds={BEARER_SECONDS}")',
        _READ.format(name="token"),
    ]


def _request(sent: SnippetRequest) -> list[str]:
    body = _json(sent)
    end = "EOF"
    while end in body:
        end += "_"
    start = "curl -sSN" if sent.stream else "curl -sS"
    start += " -H 'Content-Type: application/json' --data-binary @-"
    if sent.version == ApiVersion.V1 and sent.way == "access_key":
        signature = "$prefix/content-type;host;x-bce-date/$signature"
        start += f' \\\n  -H "x-bce-date: $now" \\\n  -H "Authorization: {signature}" \\\n  "$url"'
        return ["", f"{start} <<'{end}'", body, end]
    secret = [*_secret(sent), "SECRET"]
    return ["", _SECRETS, f"{start} --config /dev/fd/3 3<<SECRET <<'{end}'", *secret, body, end]


def _secret(sent: SnippetRequest) -> list[str]:
    """Write a configuration for curl, in whose lines the shell puts the secrets."""
    if sent.version == ApiVersion.V1:
        token = "$token" if sent.way == "ak" else "$QIANFAN_ACCESS_TOKEN"
        return [f'url = "$url?access_token={token}"']
    token = "$token" if sent.way == "access_key" else "$QIANFAN_BEARER_TOKEN"
    lines = ['url = "$url"', f'header = "Authorization: Bearer {token}"']
    return [*lines, 'header = "appid: $QIANFAN_APP_ID"'] if sent.app_id else lines


def _json(sent: SnippetRequest) -> str:
    """Write the body; what is not printable is escaped, for it would not survive copying."""
    text = json.dumps(sent.body, ensure_ascii=False, indent=2)
    shown = (c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
    return "".join(shown)
