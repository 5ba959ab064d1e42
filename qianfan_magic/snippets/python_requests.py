"""A request as a Python program that needs requests alone."""

from __future__ import annotations

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.snippets.python_literal import literal
from qianfan_magic.snippets.request import BEARER_SECONDS, SIGNATURE_SECONDS, SnippetRequest

_START = '''

def variable(name):
    # From a file .env, in the shell before:  set -a; . ./.env; set +a
    return os.environ.get(name) or sys.exit(f"Set {name} in the environment first.")


def send(method, url, **options):
    """Send a request; end the program if it is refused."""
    response = requests.request(method, url, timeout=300, **options)
    if not response.ok:
        sys.exit(f"HTTP status {response.status_code}: {response.content.decode(errors='replace')}")
    return response


def checked(answer):
    """Return an answer; end the program if it is an error."""
    if "error_code" in answer or "error" in answer:
        sys.exit(f"The service answered an error: {answer}")
    return answer
'''
_SIGN = '''

def digest(key, text):
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def sign(request):
    """Sign a request by the rules of bce-auth-v1."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    address = urlsplit(request.url)
    headers = {{{content_type}"host": address.netloc, "x-bce-date": now}}
    lines = [f"{{name}}:{{quote(value, safe='')}}" for name, value in headers.items()]
    canonical = [request.method, quote(unquote(address.path)), address.query, *lines]
    prefix = f"bce-auth-v1/{{variable('QIANFAN_ACCESS_KEY')}}/{{now}}/{seconds}"
    key = digest(variable("QIANFAN_SECRET_KEY"), prefix)
    signature = digest(key, "\\n".join(canonical))
    request.headers.update(headers)
    request.headers["Authorization"] = f"{{prefix}}/{{';'.join(headers)}}/{{signature}}"
    return request
'''
_FETCH_BY_KEYS = """\
    keys = {
        "grant_type": "client_credentials",
        "client_id": variable("QIANFAN_AK"),
        "client_secret": variable("QIANFAN_SK"),
    }
    token = checked(send("POST", TOKEN_URL, params=keys).json())["access_token"]
"""
_FETCH_SIGNED = f"""\
    life = {{"expireInSeconds": {BEARER_SECONDS}}}
    token = checked(send("GET", TOKEN_URL, params=life, auth=sign).json())["token"]
"""
_ANSWER = """\
    answer = checked(send("POST", URL, {entry}, json=BODY).json())
    print({text})
"""
_STREAM = """\
    response = send("POST", URL, {entry}, json=BODY, stream=True)
    for line in response.iter_lines():
        data = line.removeprefix(b"data:")  # which an error may come without
        if data.lstrip().startswith(b"{{"):
            answer = checked(json.loads(data))
            {show}
    print()
"""
_END = """\
except requests.RequestException as error:  # its text names the address, with what is secret
    sys.exit(f"There is no answer: {type(error).__name__}")
"""
_SHOW = 'print({text}, end="", flush=True)'
_SHOW_CHOICES = """\
for choice in answer.get("choices", []):  # none beside the usage
                print({text}, end="", flush=True)"""


def python(sent: SnippetRequest) -> str:
    """Write the program; it prints the text of the answer."""
    parts = [f"{sent.title('by requests')}\n", _imports(sent), *_constants(sent), _START]
    if sent.signed:
        content_type = (
            '"content-type": "application/json", ' if sent.version == ApiVersion.V1 else ""
        )
        parts.append(_SIGN.format(content_type=content_type, seconds=SIGNATURE_SECONDS))
    token, entry = _entry(sent)
    return "".join([*parts, "\n\ntry:\n", token, _asking(sent, entry), _END])


def _imports(sent: SnippetRequest) -> str:
    names = ["os", "sys", *(["json"] if sent.stream else [])]
    names += ["hashlib", "hmac"] if sent.signed else []
    lines = [f"import {name}" for name in sorted(names)]
    if sent.signed:
        lines += ["from datetime import datetime, timezone"]
        lines += ["from urllib.parse import quote, unquote, urlsplit"]
    return "\n".join([*lines, "", "import requests", "", ""])


def _constants(sent: SnippetRequest) -> list[str]:
    constants = {"URL": sent.url}
    if sent.way == "ak":
        constants["TOKEN_URL"] = f"{sent.base_url}/oauth/2.0/token"
    elif sent.signed not in {"", sent.url}:
        constants["TOKEN_URL"] = sent.signed
    return [f"{name} = {literal(it)}\n" for name, it in {**constants, "BODY": sent.body}.items()]


def _entry(sent: SnippetRequest) -> tuple[str, str]:
    """Give the lines that fetch a token, and the argument that lets the request in."""
    if sent.version == ApiVersion.V1:
        if sent.way == "access_key":
            return "", "auth=sign"
        fetched = _FETCH_BY_KEYS if sent.way == "ak" else ""
        token = "token" if sent.way == "ak" else 'variable("QIANFAN_ACCESS_TOKEN")'
        return fetched, f'params={{"access_token": {token}}}'
    fetched = _FETCH_SIGNED if sent.way == "access_key" else ""
    fetched = fetched or '    token = variable("QIANFAN_BEARER_TOKEN")\n'
    app_id = ', "appid": variable("QIANFAN_APP_ID")' if sent.app_id else ""
    headers = f'    headers = {{"Authorization": f"Bearer {{token}}"{app_id}}}\n'
    return fetched + headers, "headers=headers"


def _asking(sent: SnippetRequest, entry: str) -> str:
    if not sent.stream:
        return _ANSWER.format(entry=entry, text=answer_text(sent, "answer"))
    show = _SHOW if sent.version == ApiVersion.V1 else _SHOW_CHOICES
    text = answer_text(sent, "answer" if sent.version == ApiVersion.V1 else "choice")
    return _STREAM.format(entry=entry, show=show.format(text=text))


def answer_text(sent: SnippetRequest, name: str) -> str:
    """Write how to reach the text of an answer, or of one choice of a stream's event."""
    if sent.version == ApiVersion.V1:
        return f'{name}["result"]'
    if sent.stream:
        return f'{name}["delta"].get("content") or ""' if sent.kind == "chat" else f'{name}["text"]'
    field = '["message"]["content"]' if sent.kind == "chat" else '["text"]'
    return f'{name}["choices"][0]{field}'
