"""openai-python; it has no display, and its documents print the pieces."""

from __future__ import annotations

import os

from openai import OpenAI

client = OpenAI(base_url=os.environ["COMPARE_URL"] + "/v2", api_key="made-up")


def ask(question, take):
    messages = [{"role": "user", "content": question}]
    for part in client.chat.completions.create(model="ernie-5.1", messages=messages, stream=True):
        delta = part.choices[0].delta if part.choices else None
        take((delta and delta.content) or "")


def show(question):
    ask(question, lambda text: print(text, end="", flush=True))
