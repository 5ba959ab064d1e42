"""The baseline: ``iter_lines`` of requests, ``json.loads`` and ``print``."""

from __future__ import annotations

import json
import os

import requests

session, address = requests.Session(), os.environ["COMPARE_URL"] + "/v2/chat/completions"


def ask(question, take):
    body = {"messages": [{"role": "user", "content": question}], "model": "m", "stream": True}
    with session.post(address, json=body, stream=True) as response:
        for line in response.iter_lines():
            if line and line != b"data: [DONE]":
                take(json.loads(line[6:])["choices"][0]["delta"]["content"])


def show(question):
    ask(question, lambda text: print(text, end="", flush=True))
