"""Do many things at the same time, a bounded number ahead of what has been taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
)
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from itertools import islice
from typing import TypeVar

__all__ = ["as_completed", "in_order", "in_order_async"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    executor: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result]:
    """Yield the result for each item, in the order of the items.

    Parameters
    ----------
    executor
        Calls the function.
    function
        Called with each item.
    items
        May have no end: it is read `ahead` items before the result that is taken.
    ahead
        How many calls may be under way or done before their results are taken.
    """
    remaining, futures = iter(items), deque[Future[Result]]()
    try:
        while True:
            for item in islice(remaining, ahead - len(futures)):
                futures.append(executor.submit(function, item))
            if not futures:
                return
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()


def as_completed(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: Callable[[], int],
) -> Generator[tuple[Item, Result]]:
    """Yield each item with its result, as soon as that is there; otherwise as `in_order`.

    How many calls may be under way is asked anew each time.
    """
    remaining, futures = iter(items), dict[Future[Result], Item]()
    try:
        while True:
            for item in islice(remaining, max(0, ahead() - len(futures))):
                futures[executor.submit(function, item)] = item
            if not futures:
                return
            done, _ = wait(futures, return_when=FIRST_COMPLETED)
            for future in done:
                yield futures.pop(future), future.result()
    finally:
        for future in futures:
            future.cancel()


async def in_order_async(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item] | AsyncIterable[Item],
    ahead: int,
) -> AsyncGenerator[Result]:
    """Yield what `in_order` does, without blocking the event loop; the items may be async, too."""
    loop, futures = asyncio.get_running_loop(), deque[asyncio.Future[Result]]()
    try:
        async for item in _async(items):
            futures.append(loop.run_in_executor(executor, function, item))
            if len(futures) >= ahead:
                yield await futures.popleft()
        while futures:
            yield await futures.popleft()
    finally:
        for future in futures:
            future.cancel()


async def _async(items: Iterable[Item] | AsyncIterable[Item]) -> AsyncIterator[Item]:
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item
