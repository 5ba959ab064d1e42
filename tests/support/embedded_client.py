"""Clients of the embedded server that use requests alone, as the documents' curl examples do."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import requests

from qianfan_magic.embedded.server import EmbeddedServer

TIMEOUT = 20.0  # seconds
TOKEN_PATH = "/oauth/2.0/token"
V1_PREFIX = "/rpc/2.0/ai_custom/v1/wenxinworkshop"
DOLLY, STARCODER = "/chat/dolly_12b", "/completions/starcoder"
AQUILA, STABLELM = "/completions/aquilacode_multi", "/completions/stablelm_alpha_7b"
SERVICES = {"Dolly-12B": DOLLY, "StarCoder": STARCODER}
SERVICES |= {"AquilaCode-multi": AQUILA, "StableLM-Alpha-7B": STABLELM}

IAM = "/v1/BCE-BEARER/token"
CHAT, COMPLETION, MODELS = "/v2/chat/completions", "/v2/completions", "/v2/models"
#: Models that reason: if enable_thinking says so, if thinking says so, always.
ERNIE, DEEPSEEK, THINKER = "ernie-5.1", "deepseek-v4-pro", "ernie-5.0-thinking-latest"
#: A model of texts only, one that accepts images, and one of completions.
PLAIN, SEEING, CODER = "ernie-4.5-turbo-128k", "ernie-4.5-turbo-vl", "qwen3-coder-30b-a3b-instruct"

WALL = "Please introduce The Great Wall"


class Client:
    """Sends requests to one server."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.keys = server.authenticator.keys
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": TIMEOUT} | options
        return self.session.request(method, self.server.base_url + path, **options)

    def signature(self, method: str, path: str, query: str = "", **changed: Any) -> dict[str, str]:
        """Return the headers of a request signed by bce-auth-v1, as Baidu's document describes it.

        Keywords replace what is signed: ``key``, ``secret``, ``at``, ``seconds``, ``names`` (of
        the signed headers), ``extra`` (headers).
        """
        given: dict[str, Any] = {
            "key": self.keys.access_key,
            "secret": self.keys.secret_key,
            "seconds": 300,
        }
        given |= {"at": datetime.now(UTC)} | changed
        date = given["at"].strftime("%Y-%m-%dT%H:%M:%SZ")
        headers = {"host": self.server.base_url.removeprefix("http://"), "x-bce-date": date}
        headers |= given.get("extra", {})
        names = given.get("names", sorted(headers))
        prefix = f"bce-auth-v1/{given['key']}/{date}/{given['seconds']}"
        lines = "\n".join(f"{name}:{quote(headers[name], safe='')}" for name in names)
        signing_key = _digest(given["secret"], prefix)
        signature = _digest(signing_key, f"{method}\n{path}\n{query}\n{lines}")
        return headers | {"Authorization": f"{prefix}/{';'.join(names)}/{signature}"}


def _digest(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


class V1Client(Client):
    """A client of version 1, which authenticates by access token."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(server)
        self._token = ""

    def request_token(self, method: str = "POST", **changed: str) -> requests.Response:
        query = {"grant_type": "client_credentials"}
        query |= {"client_id": self.keys.ak, "client_secret": self.keys.sk}
        return self.send(method, TOKEN_PATH, params=query | changed)

    @property
    def token(self) -> str:
        self._token = self._token or self.request_token().json()["access_token"]
        return self._token

    def post(self, service: str, body: Any, **options: Any) -> requests.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        if "params" not in options:
            options["params"] = {"access_token": options.pop("token", None) or self.token}
        options = {"headers": {"Content-Type": "application/json"}} | options
        return self.send("POST", V1_PREFIX + service, data=content, **options)

    def ask(self, service: str, prompt: Any, **parameters: Any) -> dict[str, Any]:
        return self.post(service, v1_body(service, prompt) | parameters).json()

    def raw_stream(self, service: str, prompt: Any, **parameters: Any) -> str:
        body = v1_body(service, prompt) | parameters | {"stream": True}
        return self.post(service, body).content.decode()

    def stream(self, service: str, prompt: Any, **parameters: Any) -> list[dict[str, Any]]:
        events = self.raw_stream(service, prompt, **parameters).split("\n\n")
        return [json.loads(event.removeprefix("data: ")) for event in events if event]


def v1_body(service: str, prompt: Any) -> dict[str, Any]:
    """Return the body for a prompt, or for a list of messages."""
    if not service.startswith("/chat/"):
        return {"prompt": prompt}
    return {"messages": prompt if isinstance(prompt, list) else v1_messages(prompt)}


def v1_messages(*contents: Any) -> list[dict[str, Any]]:
    """Return messages with these contents, the user's first."""
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": content} for n, content in enumerate(contents)]


class V2Client(Client):
    """A client of version 2, which authenticates by the server's own bearer token."""

    def __init__(self, server: EmbeddedServer) -> None:
        super().__init__(server)
        self.authorization = f"Bearer {self.keys.bearer_token}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return super().send(
            method, path, **{"headers": {"Authorization": self.authorization}} | options
        )

    def post(self, body: Any, path: str = CHAT, **options: Any) -> requests.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, data=content, **options)

    def ask(self, prompt: str | list, model: str = ERNIE, **parameters: Any) -> dict[str, Any]:
        return self.post(v2_body(prompt, model) | parameters).json()

    def ask_text(self, prompt: str | list, model: str = ERNIE, **parameters: Any) -> str:
        return self.ask(prompt, model, **parameters)["choices"][0]["message"]["content"]

    def complete(self, prompt: str, **parameters: Any) -> dict[str, Any]:
        return self.post({"model": CODER, "prompt": prompt} | parameters, COMPLETION).json()

    def events(self, body: dict[str, Any], path: str = CHAT) -> list[str]:
        """Return the data of a stream's events."""
        raw = self.post(body | {"stream": True}, path).content.decode()
        return [event.removeprefix("data: ") for event in raw.split("\n\n") if event]

    def stream(
        self, prompt: str | list, model: str = ERNIE, **parameters: Any
    ) -> list[dict[str, Any]]:
        """Return the chunks of a stream, without its end."""
        events = self.events(v2_body(prompt, model) | parameters)
        return [json.loads(event) for event in events[:-1]]


def v2_body(prompt: str | list, model: str = ERNIE) -> dict[str, Any]:
    """Return the body of a chat, for a prompt or a list of messages."""
    return {"model": model, "messages": prompt if isinstance(prompt, list) else [user(prompt)]}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def v2_error(response: requests.Response) -> tuple[int, str]:
    """Return the status and the error code of a response; an empty code if it is no error."""
    return response.status_code, response.json().get("error", {}).get("code", "")


def v2_text(chunks: list[dict[str, Any]], field: str = "content") -> str:
    """Return the text, or the reasoning, of a stream's chunks."""
    return "".join(chunk["choices"][0]["delta"].get(field) or "" for chunk in chunks)
