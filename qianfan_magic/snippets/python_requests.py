"""A request as a Python program whose only dependency is requests."""

from __future__ import annotations

from textwrap import indent

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS
from qianfan_magic.snippets.python_literal import literal
from qianfan_magic.snippets.request import PROGRAM_BEARER_SECONDS, SnippetRequest
from qianfan_magic.snippets.template import fill

__all__ = ["answer_text", "print_event", "write_program"]


def write_program(request: SnippetRequest) -> str:
    """Write a program that prints the text of the answer."""
    return fill(
        "python_requests.py",
        title=request.title("by requests"),
        imports=_imports(request),
        constants=_constants(request),
        sign=_sign(request) if request.is_signed else "",
        request=indent(_token(request) + _send(request), " " * 4).rstrip("\n"),
    )


def _imports(request: SnippetRequest) -> str:
    names = ["os", "sys", *(["json"] if request.stream else [])]
    names += ["hashlib", "hmac"] if request.is_signed else []
    lines = [f"import {name}" for name in sorted(names)]
    if request.is_signed:
        lines += ["from datetime import datetime, timezone"]
        lines += ["from urllib.parse import quote, unquote, urlsplit"]
    return "\n".join(lines)


def _constants(request: SnippetRequest) -> str:
    token_url = {"TOKEN_URL": request.token_url} if request.token_url else {}
    constants = {"URL": request.url, **token_url, "BODY": request.body}
    return "\n".join(f"{name} = {literal(value)}" for name, value in constants.items())


def _sign(request: SnippetRequest) -> str:
    is_v1 = request.version == ApiVersion.V1  # only its requests have a body
    content_type = '"content-type": "application/json", ' if is_v1 else ""
    return fill("python_sign.py", content_type=content_type, seconds=str(SIGNATURE_SECONDS))


def _token(request: SnippetRequest) -> str:
    """Write the lines that fetch or read a token and put it into headers."""
    if request.version == ApiVersion.V1:
        return fill("python_oauth.py") if request.token_url else ""
    if not request.method.fields:
        return 'headers = {"appid": variable("QIANFAN_APP_ID")}\n' if request.app_id else ""
    if request.token_url:
        token = (
            f'life = {{"expireInSeconds": {PROGRAM_BEARER_SECONDS}}}\n'
            'token = checked(send("GET", TOKEN_URL, params=life, auth=sign).json())["token"]\n'
        )
    else:
        token = f"token = {_variable(request)}\n"
    app_id = ', "appid": variable("QIANFAN_APP_ID")' if request.app_id else ""
    return token + f'headers = {{"Authorization": f"Bearer {{token}}"{app_id}}}\n'


def _authentication(request: SnippetRequest) -> str:
    """Write the argument of ``send`` that authenticates the request."""
    if request.version != ApiVersion.V1:
        return "headers=headers" if request.variables else "headers={}"
    if request.is_signed:
        return "auth=sign"
    token = "token" if request.token_url else _variable(request)
    return f'params={{"access_token": {token}}}'


def _variable(request: SnippetRequest) -> str:
    return f'variable("{request.method.variables[0]}")'


def _send(request: SnippetRequest) -> str:
    """Write the lines that send the request and print the answer."""
    authentication = _authentication(request)
    if request.stream:
        event = indent(print_event(request), " " * 8)
        return fill("python_stream.py", authentication=authentication, print_event=event)
    return (
        f'answer = checked(send("POST", URL, {authentication}, json=BODY).json())\n'
        f"print({answer_text(request)})\n"
    )


def answer_text(request: SnippetRequest) -> str:
    """Write the expression for the text of ``answer``, a whole response, or for its calls."""
    if request.version == ApiVersion.V1:
        return 'answer["result"]' + ' or answer["function_call"]' * request.has_functions
    if request.kind == "completion":
        return 'answer["choices"][0]["text"]'
    message = 'answer["choices"][0]["message"]'
    calls = f' or {message}["tool_calls"]' if request.has_functions else ""
    return f'{message}["content"]{calls}'


def print_event(request: SnippetRequest) -> str:
    """Write the lines that print the text of ``answer``, one event of a stream, or its calls."""
    calls = request.has_functions
    if request.version == ApiVersion.V1:
        text = 'answer["result"]' + ' or answer.get("function_call") or ""' * calls
        return f'print({text}, end="", flush=True)'
    text = 'choice["text"]'
    if request.kind == "chat":
        pieces = 'choice["delta"].get("tool_calls") or ' * calls
        text = f'choice["delta"].get("content") or {pieces}""'
    return (
        'for choice in answer.get("choices", []):  # none beside the usage\n'
        f'    print({text}, end="", flush=True)'
    )
