"""Notebook pages in front of real kernels, which send the id of each cell as a front end does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from support.kernel import running
from support.page import Page, cleared


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """Start two kernels: one whose answers are shown at their end, and one that streams them."""
    with ExitStack() as stack:
        started = {}
        for live in ("off", "on"):
            folder = tmp_path_factory.mktemp(live)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("JPY_SESSION_NAME", str(folder / "page.ipynb"))
                kernel = stack.enter_context(running(live, folder))
            started[live] = Page(kernel, folder / "page.ipynb")
        yield started


@pytest.fixture
def page(pages: dict[str, Page]) -> Page:
    """Return an empty notebook whose answers are shown at their end."""
    return cleared(pages["off"])


@pytest.fixture
def live_page(pages: dict[str, Page]) -> Page:
    """Return an empty notebook that streams its answers into a widget."""
    return cleared(pages["on"])
