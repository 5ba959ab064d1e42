"""Cellmage: its adapter for programs, and its cell magic ``%%llm``."""

from __future__ import annotations

import os

from IPython.core.getipython import get_ipython

os.environ |= {
    "CELLMAGE_API_KEY": "made-up",
    "CELLMAGE_API_BASE": os.environ["COMPARE_URL"] + "/v2",
    "CELLMAGE_BASE_DIR": os.environ["COMPARE_FOLDER"],
}

from cellmage.adapters.direct_client import DirectLLMAdapter
from cellmage.models import Message

adapter = DirectLLMAdapter()


def ask(question, take):
    messages = [Message(role="user", content=question)]
    adapter.chat(messages, model="ernie-5.1", stream=True, stream_callback=take)


def show(question):
    shell = get_ipython()
    if "cellmage" not in shell.extension_manager.loaded:
        shell.run_line_magic("load_ext", "cellmage")
    shell.run_line_magic("llm_config", "--clear-history")  # or the requests would grow
    shell.run_cell_magic("llm", "-m ernie-5.1", question)
