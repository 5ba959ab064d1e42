# ruff: noqa: RUF001  Chinese text has Chinese punctuation
"""Reasoning of the scripted engine: of three puzzles, and in general."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qianfan_magic.api.catalogue.token_estimate import is_chinese
from qianfan_magic.embedded.request import ServerRequest

__all__ = ["BAT_AND_BALL", "CHICKENS", "LARGER", "PUZZLES", "Puzzle", "reasoning"]


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A question whose obvious answer differs from the considered one.

    Attributes
    ----------
    pattern
        Regular expression that matches the question.
    thought
        The reasoning.
    quick, right
        The answer without reasoning and with it.
    """

    pattern: str
    thought: str
    quick: str
    right: str

    def __call__(self, request: ServerRequest) -> str:
        """Return the answer to a request."""
        return self.right if request.thinks else self.quick


BAT_AND_BALL = Puzzle(
    r"\bbat\b.*\bball\b",
    thought="""\
A bat and a ball cost $1.10 together, and the bat costs $1.00 more than the ball. What does the \
ball cost?

The first thing that comes to mind is 10 cents: 1.10 falls apart so neatly into 1.00 and 0.10. Let \
me check that before I say it. If the ball costs $0.10, a bat that costs a dollar more costs \
$1.10, and together they cost $1.20. That is 10 cents too much, so 10 cents is wrong. I mixed up \
"costs $1.00" with "costs $1.00 more".

Let me write it down properly. Say the ball costs x dollars. Then the bat costs x + 1.00, and

x + (x + 1.00) = 1.10
2x = 0.10
x = 0.05

Check: the ball $0.05, the bat $1.05. Together $1.10, as it should be. The difference is $1.00, \
as it should be. Both conditions hold.

So the ball costs 5 cents. I should show the equation, since the tempting answer is another.""",
    quick=" The ball costs **10 cents**: the bat is one dollar, and together that makes 1.10.",
    right="""\
 The ball costs **5 cents**.

If the ball costs $b$ cents, the bat costs $b + 100$, and together

$$
b + (b + 100) = 110, \\qquad b = 5
$$

The ball at 5 cents and the bat at 105 make 110. With 10 cents for the ball they would make 120.""",
)

LARGER = Puzzle(
    r"9\.11.*9\.9\b|9\.9\b.*9\.11",
    thought="""\
Which is larger, 9.11 or 9.9?

It depends on what they are. As numbers: both begin with 9, so the part behind the point decides. \
One has .11, the other .9. It is tempting to compare 11 with 9, as if they were whole numbers, and \
to say that 11 is more. But the digits behind the point are tenths and hundredths: 0.9 is 9 \
tenths, that is 90 hundredths, and 0.11 is 11 hundredths. 90 is more than 11.

To be sure, I write both with two digits: 9.11 and 9.90. The difference 9.90 - 9.11 is 0.79, which \
is above zero. So 9.9 is the larger number.

Could something else be meant? As versions of a program, 9.11 comes after 9.9, because there the \
point only separates two whole numbers. As dates in a year, 9 November or September 11th, it is \
later too. Nobody has said that these are versions or dates, so I answer for numbers, and mention \
the versions in one sentence.""",
    quick=" **9.9** is larger: 9.90 is more than 9.11.",
    right="""\
 **9.9** is larger. Written with the same number of digits they are 9.90 and 9.11, and the
difference is 0.79.

Only as *versions* of a program does 9.11 come after 9.9: there the point separates two whole
numbers.""",
)

CHICKENS = Puzzle(
    r"鸡兔同笼|鸡.*兔.*(脚|足|腿)",
    thought="""\
鸡兔同笼，一共 35 个头、94 只脚，要求鸡和兔各有多少只。

先想一个简单的办法：假设笼子里全是鸡。那么 35 个头对应 35 × 2 = 70 只脚，比 94 只少了 24 只。\
每把一只鸡换成一只兔，头数不变，脚数多 2 只。所以要换 24 ÷ 2 = 12 次，也就是说有 12 只兔，\
剩下 35 - 12 = 23 只鸡。

再用方程核对一遍。设鸡 x 只、兔 y 只：

x + y = 35
2x + 4y = 94

第二个式子除以 2 得 x + 2y = 47，减去第一个式子得 y = 12，于是 x = 23。两种办法结果一样。

验算：23 + 12 = 35 个头，23 × 2 + 12 × 4 = 46 + 48 = 94 只脚，都对得上。""",
    quick="鸡 **23** 只，兔 **12** 只。",
    right="""\
鸡 **23** 只，兔 **12** 只。

假设全是鸡，应有 $35 \\times 2 = 70$ 只脚，比 94 少 24 只；每换一只兔多 2 只脚，所以兔有
$24 \\div 2 = 12$ 只，鸡有 $35 - 12 = 23$ 只。

验算：$23 \\times 2 + 12 \\times 4 = 94$。""",
)

#: The puzzles that the engine knows.
PUZZLES = (BAT_AND_BALL, LARGER, CHICKENS)

#: Largest number of characters of a question that the reasoning quotes.
MAX_QUOTE_LENGTH = 80

GENERIC = """\
I am asked: “{quote}”

I am a scripted engine, so thinking means looking it up: I go through the few questions that I \
know and compare each with this one. If one fits, I give its answer as it stands; if \
none does, I say so, and what I have received, rather than making something up."""

GENERIC_CHINESE = """\
问题是：“{quote}”

我是按脚本回答的引擎，所谓思考就是查找：把我记住的几个问题逐一和它比较。有相符的，就给出那个答案；\
没有，就如实说明我收到了什么，而不去编造。"""


def reasoning(request: ServerRequest) -> str:
    """Return the reasoning about a puzzle, or general reasoning that quotes the question."""
    for puzzle in PUZZLES:
        if re.search(puzzle.pattern, request.prompt, re.IGNORECASE | re.DOTALL):
            return puzzle.thought
    quote = " ".join(request.prompt.split()) or "(a picture without a word)"
    quote = quote if len(quote) <= MAX_QUOTE_LENGTH else quote[:MAX_QUOTE_LENGTH] + "…"
    return (GENERIC_CHINESE if is_chinese(quote) else GENERIC).format(quote=quote)
