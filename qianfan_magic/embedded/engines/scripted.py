"""The engine that needs no model: it knows a few questions by heart and admits all others."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from qianfan_magic.api.types import ApiVersion
from qianfan_magic.embedded.engines.completions import COMPLETION, Response
from qianfan_magic.embedded.engines.reasoning import PUZZLES, Puzzle

if TYPE_CHECKING:
    from qianfan_magic.embedded.request import ServerRequest

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

#: From the likeliest to the oddest.
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


def _first_question(question: ServerRequest) -> str:
    if len(question.messages) == 1:
        return " This is your first question."
    return f" Your first question was: “{question.messages[0].strip()}”"


def _cat_name(question: ServerRequest) -> str:
    """Show what the parameter does: the hotter, the odder the name."""
    temperature = question.parameters.get("temperature", 0.5)
    name = CAT_NAMES[round(temperature * (len(CAT_NAMES) - 1))]
    return f" Call it **{name}**. {name} suits a cat."


#: For a chat: a pattern of the question, a pattern of all before it, and what to say.
CHAT: tuple[tuple[str, str, Response], ...] = (
    (r"^(hi|hello|hey)\b[\s!.]*$", "", GREETINGS),
    (r"^(你好|您好)", "", ("你好！很高兴认识你。想聊些什么？", "您好！今天想了解什么？")),
    (r"my first question|i asked? (you )?first", "", _first_question),
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

#: What asks for the rest of an answer.
GO_ON = r"^(please )?(go on|continue)|继续"


def answer(question: ServerRequest) -> str:
    """Answer in this engine's own words.

    Parameters
    ----------
    question
        Checked already.

    Returns
    -------
    str
        What it knows by heart, or a sentence that says what it received.
    """
    if question.kind == "completion":
        return _completed(question)
    if question.json:
        return _json(question)
    if question.pictures:
        return _said(" " + _blind(question), question)
    if re.search(GO_ON, question.text.strip(), re.IGNORECASE) and len(question.messages) > 1:
        return _rest(question)
    return _said(_known(question) or " " + _confession(question), question)


def _completed(question: ServerRequest) -> str:
    for pattern, write_payload in COMPLETION:
        if re.search(pattern, question.text.strip(), re.IGNORECASE):
            return _say(write_payload, question)
    return "\n# " + _confession(question) + "\n" * bool(question.suffix)


def _known(question: ServerRequest) -> str:
    text, before = question.text.strip(), "\n".join(question.messages[:-1])
    for pattern, context, write_payload in CHAT:
        if re.search(pattern, text, re.IGNORECASE) and re.search(context, before, re.IGNORECASE):
            return _say(write_payload, question)
    return ""


def _json(question: ServerRequest) -> str:
    if re.search(r"rivers|河", question.text, re.IGNORECASE):
        return RIVERS
    said = _blind(question) if question.pictures else _confession(question)
    return json.dumps({"answer": said}, ensure_ascii=False)


def _rest(question: ServerRequest) -> str:
    """Go on with the answer before, if it is the beginning of one that is known."""
    said = question.messages[-2]
    known = [_said(one, question) for _, _, write_payload in CHAT for one in _texts(write_payload)]
    whole = [one for one in known if said and one.startswith(said)]
    return whole[0][len(said) :] if whole else _said(" " + _confession(question), question)


def _texts(write_payload: Response) -> tuple[str, ...]:
    if isinstance(write_payload, Puzzle):
        return write_payload.quick, write_payload.right
    return () if callable(write_payload) else write_payload


def _said(text: str, question: ServerRequest) -> str:
    """Begin as the model does: Dolly-12B with a space, those of version 2 without."""
    return text if question.card.version == ApiVersion.V1 else text.lstrip()


def _say(write_payload: Response, question: ServerRequest) -> str:
    return (
        write_payload(question)
        if callable(write_payload)
        else question.random().choice(write_payload)
    )


def _blind(question: ServerRequest) -> str:
    """Say of pictures what can be told without seeing them."""
    number = len(question.pictures)
    came = "1 picture" if number == 1 else f"{number} pictures"
    return (
        f"This is the scripted engine in the place of {question.card.name}: it cannot see, and so "
        f"cannot say what is shown. What arrived with the question is {came}: "
        f"{'; '.join(map(str, question.pictures))}."
    )


def _confession(question: ServerRequest) -> str:
    sent = ", ".join(f"{name}={value!r}" for name, value in question.parameters.items())
    turn = f" as message {len(question.messages)} of a conversation" * (len(question.messages) > 1)
    system = f" after a system text of {len(question.system):,}" * bool(question.system)
    return (
        f"This is the scripted engine in the place of {question.card.name}. It is no language "
        f"model: it knows a few questions by heart, and this is not one of them. It received "
        f"{len(question.text):,} characters{turn}{system}, with {sent or 'no parameters'}."
    )
