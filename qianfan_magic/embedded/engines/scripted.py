"""The engine that needs no model: it knows a few questions by heart and admits all others."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qianfan_magic.embedded.question import Question

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

BEIJING_PROSE = """\
, the capital of China, in the north of the country.
Beijing has been a seat of government for most of the last eight hundred years. Its old centre \
holds the Forbidden City and Tiananmen Square, hutong lanes run around it, and the Great Wall \
crosses the hills an hour to the north. Today more than 21 million people live there."""

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

MAX_MIN = '''\

def max_min(numbers):
    """返回数组的最大值和最小值。"""
    largest = smallest = numbers[0]
    for number in numbers[1:]:
        if number > largest:
            largest = number
        elif number < smallest:
            smallest = number
    return largest, smallest
'''

FIBONACCI = '''
    """Return the n-th Fibonacci number: 0, 1, 1, 2, 3, 5, …"""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
'''

IS_PRIME = '''
    """Tell whether n has no divisor but 1 and itself."""
    if n < 2:
        return False
    divisor = 2
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 1
    return True
'''

QUICKSORT = """
def quicksort(items):
    if len(items) <= 1:
        return items
    pivot, *rest = items
    smaller = [item for item in rest if item < pivot]
    larger = [item for item in rest if item >= pivot]
    return [*quicksort(smaller), pivot, *quicksort(larger)]
"""

SQL = """
SELECT department, AVG(salary) AS average_salary
FROM employees
GROUP BY department
ORDER BY average_salary DESC;
"""


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


def _first_question(question: Question) -> str:
    if len(question.messages) == 1:
        return " This is your first question."
    return f" Your first question was: “{question.messages[0].strip()}”"


def _cat_name(question: Question) -> str:
    """Show what the parameter does: the hotter, the odder the name."""
    temperature = question.parameters.get("temperature", 0.5)
    name = CAT_NAMES[round(temperature * (len(CAT_NAMES) - 1))]
    return f" Call it **{name}**. {name} suits a cat."


Say = tuple[str, ...] | Callable[["Question"], str]

#: For a chat: a pattern of the question, a pattern of all before it, and what to say.
CHAT: tuple[tuple[str, str, Say], ...] = (
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
)

#: What asks for the rest of an answer.
GO_ON = r"^(please )?(go on|continue)|继续"

#: For a completion: a pattern of the prompt's end, and how it goes on.
COMPLETION: tuple[tuple[str, Say], ...] = (
    (r"introduce the city beijing\W*$", (BEIJING_PROSE,)),
    (r"python\s*计算数组(的)?最大值(和|、)?最小值\W*$", (MAX_MIN,)),
    (r"def fibonacci\(n\):\s*$", (FIBONACCI,)),
    (r"def is_prime\(n\):\s*$", (IS_PRIME,)),
    (r"#.*quick\s?sort.*$", (QUICKSORT,)),
    (r"--.*average salary.*department.*$", (SQL,)),
)


def answer(question: Question) -> str:
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
    text, random = question.text.strip(), question.random()
    if question.card.kind == "completion":
        for pattern, say in COMPLETION:
            if re.search(pattern, text, re.IGNORECASE):
                return _say(say, question, random)
        return "\n# " + _confession(question)
    if re.search(GO_ON, text, re.IGNORECASE) and len(question.messages) > 1:
        return _rest(question)
    before = "\n".join(question.messages[:-1])
    for pattern, context, say in CHAT:
        if re.search(pattern, text, re.IGNORECASE) and re.search(context, before, re.IGNORECASE):
            return _say(say, question, random)
    return " " + _confession(question)


def _rest(question: Question) -> str:
    """Go on with the answer before, if it is the beginning of one that is known."""
    said = question.messages[-2]
    known = [one for _, _, say in CHAT if not callable(say) for one in say]
    whole = [one for one in known if one.startswith(said)]
    return whole[0][len(said) :] if whole else " " + _confession(question)


def _say(say: Say, question: Question, random: Random) -> str:
    return say(question) if callable(say) else random.choice(say)


def _confession(question: Question) -> str:
    sent = ", ".join(f"{name}={value!r}" for name, value in question.parameters.items())
    turn = f" as message {len(question.messages)} of a conversation" * (len(question.messages) > 1)
    return (
        f"This is the scripted engine in the place of {question.card.name}. It is no language "
        f"model: it knows a few questions by heart, and this is not one of them. It received "
        f"{len(question.text):,} characters{turn}, with {sent or 'no parameters'}."
    )
