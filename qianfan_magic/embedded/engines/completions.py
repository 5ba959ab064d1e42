"""Completions of the scripted engine, most of them programs."""

from __future__ import annotations

import re
from collections.abc import Callable

from qianfan_magic.embedded.request import ServerRequest

__all__ = ["COMPLETIONS", "Response"]

#: Texts of which the request's seed chooses one, or a function of the request.
Response = tuple[str, ...] | Callable[[ServerRequest], str]

BEIJING_PROSE = """\
, the capital of China, in the north of the country.
Beijing has been a seat of government for most of the last eight hundred years. Its old centre \
holds the Forbidden City and Tiananmen Square, hutong lanes run around it, and the Great Wall \
crosses the hills an hour to the north. Today more than 21 million people live there."""

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


def _fahrenheit(request: ServerRequest) -> str:
    """Fill the gap with an assignment to the name that the suffix returns, or with a return."""
    line, suffix = request.prompt.rpartition("\n")[2], request.suffix
    start = "\n    " if line.strip() else "    "[len(line) :]  # the prompt may end in an indent
    returned = re.search(r"\breturn (\w+)", suffix)
    target = f"{returned[1]} =" if returned else "return"
    end = "\n" if suffix[:1].isspace() else "\n    "
    end = end if suffix.partition("\n")[0].strip() else ""
    return f"{start}{target} celsius * 9 / 5 + 32{end}"


#: A pattern of the end of the prompt, and the response to it.
COMPLETIONS: tuple[tuple[str, Response], ...] = (
    (r"introduce the city beijing\W*$", (BEIJING_PROSE,)),
    (r"python\s*计算数组(的)?最大值(和|、)?最小值\W*$", (MAX_MIN,)),
    (r"def fibonacci\(n\):\s*$", (FIBONACCI,)),
    (r"def is_prime\(n\):\s*$", (IS_PRIME,)),
    (r"#.*quick\s?sort.*$", (QUICKSORT,)),
    (r"--.*average salary.*department.*$", (SQL,)),
    (r"def fahrenheit\(celsius[^\n]*:(\s*\"{3}[^\"]*\"{3})?\s*$", _fahrenheit),
)
