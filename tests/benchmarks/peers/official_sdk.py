"""The official SDK of Qianfan; it has no display, and its documents print the pieces."""

from __future__ import annotations

import os

import qianfan

config = qianfan.get_config()
config.CONSOLE_API_BASE_URL = os.environ["COMPARE_URL"]
config.BEARER_TOKEN = "made-up-for-the-comparison"
chat = qianfan.ChatCompletion(version="2", model="ernie-5.1")


def ask(question, take):
    for part in chat.do(messages=[{"role": "user", "content": question}], stream=True):
        choices = part.body.get("choices")
        take((choices and choices[0].get("delta", {}).get("content")) or "")


def show(question):
    ask(question, lambda text: print(text, end="", flush=True))
