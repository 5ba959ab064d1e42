"""Many things at the same time, a bounded number ahead."""

from __future__ import annotations

import asyncio
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from qianfan_magic.api.batch.parallel import as_completed, in_order, in_order_async


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_results_come_in_the_order_of_the_items(pool):
    gates = [threading.Event() for _ in range(3)]
    gates[2].set()

    def wait(number: int) -> int:
        gates[number].wait(10)
        if number:
            gates[number - 1].set()
        return number

    assert list(in_order(pool, wait, range(3), 3)) == [0, 1, 2]


def test_endless_items_are_read_a_bounded_number_ahead(pool):
    read: list[int] = []

    def endless():
        for number in itertools.count():
            read.append(number)
            yield number

    for results in (
        in_order(pool, str, endless(), 5),
        as_completed(pool, str, endless(), lambda: 5),
    ):
        read.clear()
        taken = list(itertools.islice(results, 10))
        assert len(taken) == 10
        assert len(read) <= 15


def test_slow_item_does_not_hold_up_the_others(pool):
    gate = threading.Event()

    def wait(number: int) -> int:
        assert number or gate.wait(10)
        return number

    results = as_completed(pool, wait, range(8), lambda: 4)
    first = [next(results) for _ in range(7)]
    gate.set()
    assert 0 not in [item for item, _ in first]
    assert [item for item, _ in results] == [0]


def test_what_has_not_begun_is_cancelled_when_nobody_takes_the_results():
    gate, called = threading.Event(), []

    def wait(number: int) -> int:
        called.append(number)
        gate.wait(10)
        return number

    with ThreadPoolExecutor(1) as single:
        results = in_order(single, wait, range(8), 8)
        gate.set()
        assert next(results) == 0
        gate.clear()
        results.close()
        gate.set()
    assert len(called) < 8


def test_event_loop_goes_on_while_it_waits(pool):
    async def items():
        for number in range(6):
            yield number

    async def both() -> tuple[list[str], list[str]]:
        one = [text async for text in in_order_async(pool, str, range(6), 3)]
        two = [text async for text in in_order_async(pool, str, items(), 3)]
        return one, two

    with ThreadPoolExecutor(1) as thread:
        one, two = thread.submit(lambda: asyncio.run(both())).result()
    assert one == two == list("012345")
