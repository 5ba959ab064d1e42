"""Fixtures of all tests: an environment without a developer's settings, a server, clients of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from support.kernel import fresh, kernel, kernels, live, quiet  # noqa: F401  fixtures
from support.notebook import bare, notebook, own, shell  # noqa: F401  fixtures
from support.raw_server import RawServer

from qianfan_magic import QianfanClient, masking
from qianfan_magic.api.config.credentials import Credentials
from qianfan_magic.api.config.settings import Settings

# A busy computer is no failure. HYPOTHESIS_PROFILE=nightly looks at far more examples; mutation at
# the same few each time, so that a mutant is killed in every run or in none.
for name, examples in {"ci": 100, "mutation": 30, "nightly": 2_000}.items():
    settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        derandomize=name == "mutation",
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
#: Fixtures that start a kernel of its own process.
KERNEL_FIXTURES = {"kernels", "pages"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a kernel, a browser or a shell, so that a run can leave it out."""
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker("browser")
        elif item.path.suffix == ".ipynb" or KERNEL_FIXTURES & set(
            getattr(item, "fixturenames", ())
        ):
            item.add_marker("kernel")
        elif "shell" in getattr(item, "fixturenames", ()):
            item.add_marker("shell")


TOKEN = "24.0123456789abcdef0123456789abcdef.2592000"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    certificates = {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"}
    for name in list(os.environ):
        ours = name.startswith("QIANFAN_") or name in certificates
        if ours or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("QIANFAN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # The secrets of one test are ordinary words in the next.
    masking.forget_all()


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


@pytest.fixture
def make_client(raw_server: RawServer, tmp_path: Path) -> Iterator[Callable[..., QianfanClient]]:
    """Make clients that do not wait between attempts; keywords are credentials and settings."""
    names = set(Credentials.__slots__)
    with contextlib.ExitStack() as clients:

        def make(**given: Any) -> QianfanClient:
            keys = {name: given.pop(name) for name in names & given.keys()}
            chosen: dict[str, Any] = {
                "base_url": raw_server.url,
                "console_api_base_url": f"{raw_server.url}/v2",
                "iam_base_url": raw_server.url,
                "cache_dir": tmp_path / "cache",
                "backoff_factor": 0.0,
                "retry_jitter": 0.0,
                "chat_endpoint": "chat_ep",
                "complete_endpoint": "complete_ep",
            }
            credentials = Credentials(**(keys or {"access_token": TOKEN}))
            settings = Settings(credentials=credentials, **chosen | given)
            return clients.enter_context(QianfanClient(settings))

        yield make
