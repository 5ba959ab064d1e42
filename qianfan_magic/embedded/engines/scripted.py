"""The scripted engine: fixed answers to a few questions, and a description of any other.

It needs no model, and never pretends to be one.
"""

from __future__ import annotations

import json
import re

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.engines.completions import COMPLETIONS, Response
from qianfan_magic.embedded.engines.reasoning import PUZZLES, Puzzle
from qianfan_magic.embedded.engines.structured import document, schema_in
from qianfan_magic.embedded.request import ServerRequest

__all__ = ["answer"]

GREETINGS = (
    " Hello! It is good to meet you. What would you like to talk about?",
    " Hi there! I am glad you wrote. What is on your mind today?",
)

GREAT_WALL = """\
 The **Great Wall of China** is not one wall but many, built over some two thousand years to guard
the northern border.

1. *7th century BC*: the first earthen walls between rival states.
2. *221 BC*: the Qin dynasty joins several of them.
3. *1368–1644*: the Ming dynasty builds the stone and brick wall that visitors walk on today.

It runs over mountains, through grassland and into the desert, with watchtowers that passed
messages by smoke and fire. Since 1987 it has been a UNESCO World Heritage Site."""

WALL_LENGTH = """\
 All its parts together measure about **21,196 km**, as a survey found in 2012. The Ming wall alone
is 8,850 km long."""

BEIJING = """\
 **Beijing** is the capital of China, a city of more than 21 million people with three thousand
years of history.

| place | what it is |
|---|---|
| Forbidden City | the palace of the Ming and Qing emperors |
| Temple of Heaven | where they prayed for good harvests |
| Summer Palace | a garden around a lake |
| 798 Art District | old factories full of galleries |

It also has some of the country's best universities, and roast duck that people travel for."""

WALL_LENGTH_CHINESE = """\
历代长城总长约 **21,196 公里**（2012 年测量），其中明长城长 8,850 公里。"""

WALL_CHINESE = """\
长城不是一道墙，而是两千多年间修筑的许多道城墙的总称。

- **春秋战国**：各诸侯国开始筑墙自卫。
- **秦**：把北方的几段连接起来。
- **明**：修建了今天人们登临的砖石长城。

2012 年的测量结果显示，历代长城总长约 **21,196 公里**。"""

PYTHAGORAS = r"""
In a right-angled triangle with the sides $a$, $b$ and the hypotenuse $c$

$$
a^2 + b^2 = c^2
$$

so that $c = \sqrt{a^2 + b^2}$. In Python:

```python
from math import sqrt

def hypotenuse(a, b):
    # the longest side
    return sqrt(a**2 + b**2)
```

| $a$ | $b$ | $c$ |
|---:|---:|---:|
| 3 | 4 | 5 |
| 5 | 12 | 13 |

- [x] right-angled triangles
- [ ] all others need the cosine[^1]

[^1]: $c^2 = a^2 + b^2 - 2ab\cos\gamma$"""

RIVERS = (
    '{"rivers": [{"name": "长江", "km": 6300}, {"name": "黄河", "km": 5464}], "complete": false}'
)

#: Ordered by the temperature that chooses them, from 0 to 1.
CAT_NAMES = (
    *("Mimi", "Kitty", "Tiger", "Mochi", "Pixel"),
    *("Professor Fluff", "Quantum Noodle", "Baron von Yarn"),
)

REVIEW = """\
 One thing goes wrong: for an *empty list* `len(values)` is 0, and Python raises a
`ZeroDivisionError`, which tells the caller little. The rest is fine."""

MENDED = """\
 Say what is wrong before it happens:

```python
def mean(values):
    if not values:
        raise ValueError("mean() of no values")
    return sum(values) / len(values)
```"""


def _first_question(request: ServerRequest) -> str:
    if len(request.messages) == 1:
        return " This is your first question."
    return f" Your first question was: “{request.messages[0].strip()}”"


def _first_question_chinese(request: ServerRequest) -> str:
    if len(request.messages) == 1:
        return "这就是你的第一个问题。"
    return f"你的第一个问题是：“{request.messages[0].strip()}”"


def _cat_name(request: ServerRequest) -> str:
    """Demonstrate the parameter: a higher temperature chooses an odder name."""
    temperature = request.parameters.get("temperature", 0.5)
    name = CAT_NAMES[round(temperature * (len(CAT_NAMES) - 1))]
    return f" Call it **{name}**. {name} suits a cat."


#: A pattern of the question, a pattern of the messages before it, and the response.
CHAT: tuple[tuple[str, str, Response], ...] = (
    (r"^(hi|hello|hey)\b[\s!.]*$", "", GREETINGS),
    (r"^(你好|您好)", "", ("你好！很高兴认识你。想聊些什么？", "您好！今天想了解什么？")),
    (r"my first question|i asked? (you )?first", "", _first_question),
    (r"第一个问题", "", _first_question_chinese),
    (r"^(?!.*how long).*great wall", "", (GREAT_WALL,)),
    (r"how long|length", r"great wall|长城", (WALL_LENGTH,)),
    (r"长城.*多长", "", (WALL_LENGTH_CHINESE,)),
    (r"长城", "", (WALL_CHINESE,)),
    (r"beijing|北京", "", (BEIJING,)),
    (r"pythagoras|勾股", "", (PYTHAGORAS,)),
    (r"rivers.*json", "", (RIVERS,)),
    (r"name for (a|my) cat", "", _cat_name),
    (r"def mean\(", "", (REVIEW,)),
    (r"mend|fix", r"def mean\(", (MENDED,)),
    *((puzzle.pattern, "", puzzle) for puzzle in PUZZLES),
)

#: A question that asks to continue an answer that was truncated.
CONTINUE = r"^(please )?(go on|continue)|继续"


def answer(request: ServerRequest) -> str:
    """Return a fixed answer, or a text that describes the request; without its `prefix`."""
    whole = _answer(request)
    return _rest(request.prefix, whole, request) if request.prefix else whole


def _answer(request: ServerRequest) -> str:
    if request.kind == "completion":
        return _complete(request)
    if request.schema is not None:
        return document(request.schema)
    if request.wants_json:
        return _json(request)
    if request.images:
        return _for_model(" " + _describe_images(request), request)
    if re.search(CONTINUE, request.prompt.strip(), re.IGNORECASE) and len(request.messages) > 1:
        return _continue(request)
    return _for_model(_find_answer(request) or " " + _describe(request), request)


def _complete(request: ServerRequest) -> str:
    for pattern, response in COMPLETIONS:
        if re.search(pattern, request.prompt.strip(), re.IGNORECASE):
            return _render(response, request)
    # A comment, so that the prompt and its completion remain a valid program.
    return "\n# " + _describe(request) + "\n" * bool(request.suffix)


def _find_answer(request: ServerRequest) -> str:
    question, context = request.prompt.strip(), "\n".join(request.messages[:-1])
    for pattern, context_pattern, response in CHAT:
        matches = re.search(pattern, question, re.IGNORECASE)
        if matches and re.search(context_pattern, context, re.IGNORECASE):
            return _render(response, request)
    return ""


def _json(request: ServerRequest) -> str:
    schema = schema_in(request.prompt)
    if schema is not None:
        return document(schema)
    if re.search(r"rivers|河", request.prompt, re.IGNORECASE):
        return RIVERS
    text = _describe_images(request) if request.images else _describe(request)
    return json.dumps({"answer": text}, ensure_ascii=False)


def _continue(request: ServerRequest) -> str:
    """Return the rest of the previous answer if it is the beginning of a fixed one."""
    return _rest(request.messages[-2], "", request)


def _rest(beginning: str, likely: str, request: ServerRequest) -> str:
    """Return what follows a beginning in the likely answer or in a fixed one."""
    if beginning and likely.startswith(beginning):
        return likely[len(beginning) :]
    fixed = [_for_model(text, request) for _, _, response in CHAT for text in _texts(response)]
    whole = next((text for text in fixed if beginning and text.startswith(beginning)), None)
    if whole is None:
        return _for_model(" " + _describe(request), request)
    return whole[len(beginning) :]


def _texts(response: Response) -> tuple[str, ...]:
    if isinstance(response, Puzzle):
        return response.quick, response.right
    return () if callable(response) else response


def _for_model(text: str, request: ServerRequest) -> str:
    """Return the text as the model begins it: Dolly-12B with a space, version 2 without."""
    return text if request.card.version == ApiVersion.V1 else text.lstrip()


def _render(response: Response, request: ServerRequest) -> str:
    return response(request) if callable(response) else request.random().choice(response)


def _describe_images(request: ServerRequest) -> str:
    """Describe the images by their format and size."""
    number = len(request.images)
    count = "1 picture" if number == 1 else f"{number} pictures"
    return (
        f"This is the scripted engine, which stands in for {request.card.name}. It cannot see "
        f"images, so it cannot describe them. It received {count} with the question: "
        f"{'; '.join(map(str, request.images))}."
    )


def _describe(request: ServerRequest) -> str:
    """Say that the question has no fixed answer, and describe what was received."""
    sent = ", ".join(f"{name}={value!r}" for name, value in request.parameters.items())
    turn = f" as message {len(request.messages)} of a conversation" * (len(request.messages) > 1)
    system = f" after a system text of {len(request.system):,}" * bool(request.system)
    return (
        f"This is the scripted engine, which stands in for {request.card.name}. It is not a "
        f"language model: it has answers to a few questions, and this is not one of them. "
        f"It received {len(request.prompt):,} characters{turn}{system}, "
        f"with {sent or 'no parameters'}."
    )
