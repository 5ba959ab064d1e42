"""chatlas: ``stream()`` for programs, and ``chat()``, which shows Markdown in a notebook."""

from __future__ import annotations

import os

from chatlas import ChatOpenAICompletions

address = os.environ["COMPARE_URL"] + "/v2"
client = ChatOpenAICompletions(base_url=address, model="ernie-5.1", api_key="made-up")


def ask(question, take):
    client.set_turns([])  # or the requests would grow
    for piece in client.stream(question):
        take(piece)


def show(question):
    client.set_turns([])
    client.chat(question)
