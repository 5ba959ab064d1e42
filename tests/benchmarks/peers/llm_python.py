"""llm by its Python interface; it has no display for notebooks, and its documents print."""

from __future__ import annotations

import os
from pathlib import Path

folder = Path(os.environ["COMPARE_FOLDER"])
os.environ["LLM_USER_PATH"] = str(folder)
(folder / "extra-openai-models.yaml").write_text(
    f"- model_id: peer\n  model_name: ernie-5.1\n  api_base: {os.environ['COMPARE_URL']}/v2\n"
)

import llm  # noqa: E402  it reads the file

model = llm.get_model("peer")


def ask(question, take):
    for piece in model.prompt(question, stream=True):
        take(piece)


def show(question):
    ask(question, lambda text: print(text, end="", flush=True))
