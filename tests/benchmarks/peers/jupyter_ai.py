"""jupyter-ai-magic-commands: ``%%ai``, which waits for the whole answer and returns Markdown."""

from __future__ import annotations

import os

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display

os.environ["OPENAI_API_KEY"] = "made-up"
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "jupyter_ai_magic_commands")
address = os.environ["COMPARE_URL"] + "/v2"
shell.run_line_magic("ai", f"alias peer openai/ernie-5.1 --api-base {address}")


def answer(question):
    shell.run_line_magic("ai", "reset")  # or the requests would grow
    return shell.run_cell_magic("ai", "peer", question)


def ask(question, take):
    take(answer(question).data)


def show(question):
    display(answer(question))  # as IPython does with what a cell returns
