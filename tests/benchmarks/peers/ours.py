"""qianfan_magic in version 2: its client, and its cell magic with the live view."""

from __future__ import annotations

import os
from itertools import count

from IPython.core.getipython import get_ipython

os.environ |= {
    "QIANFAN_BEARER_TOKEN": "made-up-for-the-comparison",
    "QIANFAN_CONSOLE_API_BASE_URL": os.environ["COMPARE_URL"],
    "QIANFAN_CACHE_DIR": os.environ["COMPARE_FOLDER"],
    "QIANFAN_LIVE": "on",
}

from qianfan_magic import QianfanClient

client, numbers = QianfanClient(), count()


def ask(question, take):
    for chunk in client.stream_chat([{"role": "user", "content": question}], model="ernie-5.1"):
        take(chunk.text)


def show(question):
    shell = get_ipython()
    if "qianfan_magic" not in shell.extension_manager.loaded:
        shell.run_line_magic("load_ext", "qianfan_magic")
    # Each question in a conversation of its own, or the requests would grow.
    shell.run_cell_magic("qianfan_chat", f"-m ernie-5.1 -n c{next(numbers)}", question)
