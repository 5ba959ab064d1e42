"""What a page of a browser asks for, and what it opens or leaves for."""

from __future__ import annotations

import re

from playwright.sync_api import Dialog, Frame, Page, Route

#: Addresses that are not this computer's.
OUTSIDE = re.compile(r"^https?://(?!127\.0\.0\.1|localhost)")


class Watch:
    """Notes what a page asks for, and what it opens or leaves for."""

    def __init__(self, page: Page, own: str) -> None:
        self._own = re.compile(r"(blob:)?(http|ws)" + re.escape(own.removeprefix("http")))
        self.asked: list[str] = []
        self.opened: list[str] = []
        page.context.on("request", lambda request: self._ask(request.url))
        page.on("websocket", lambda socket: self._ask(socket.url))
        page.on("dialog", self._dialog)
        page.on("popup", lambda popup: self.opened.append(f"page {popup.url}"))
        page.on("framenavigated", self._navigated)

    def take(self) -> dict[str, list[str]]:
        """Give what was noted since the last time."""
        taken = {"asked": self.asked, "opened": self.opened}
        self.asked, self.opened = [], []
        return taken

    def _is_own(self, url: str) -> bool:
        return bool(self._own.match(url)) and "evil" not in url

    def _ask(self, url: str) -> None:
        if not (self._is_own(url) or url.startswith("data:")):
            self.asked.append(url)

    def _dialog(self, dialog: Dialog) -> None:
        if dialog.type != "beforeunload":
            self.opened.append(f"dialog {dialog.message}")
        dialog.accept()

    def _navigated(self, frame: Frame) -> None:
        if not self._is_own(frame.url):
            self.opened.append(f"navigation {frame.url}")


def answer_nothing(route: Route) -> None:
    """Fail a request; where it leads away, stay on the page."""
    if route.request.is_navigation_request():
        route.fulfill(status=204)
    else:
        route.abort()
