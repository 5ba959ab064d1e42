"""Versions of what runs here, and what shows the answers."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import QianfanError

#: What the front end is made of.
PARTS = (
    "ipython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "jupyterlab",
    "notebook",
    "jupyterlab_widgets",
    "nbconvert",
)
#: The lowest version of a part that shows answers well, and where it has to be.
LOWEST = {
    "ipython": (8, 20),
    "ipywidgets": (8,),
    "anywidget": (0, 9),
    "jupyterlab": (4,),
    "notebook": (7,),
}
NEEDED = ("ipython", "ipywidgets", "anywidget")


def installed(names: tuple[str, ...] = PARTS) -> dict[str, str]:
    """Return the versions of the packages that this environment has."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_python() -> Finding:
    """Tell which Python this is, and which version of the package."""
    package = installed(("qianfan-magic",)).get("qianfan-magic", "(not installed)")
    said = f"{platform.python_version()} on {platform.system()}, qianfan-magic {package}"
    return Finding("Python", "ok", said)


def check_parts(versions: Mapping[str, str]) -> Iterator[Finding]:
    """Tell the versions of the front end's parts, and which of them are too old.

    Parameters
    ----------
    versions
        By package, of those that are installed beside this Python; JupyterLab may run in an
        environment of its own, which cannot be seen from here.
    """
    told = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield Finding("Front end", "ok", told or "nothing of it is installed here")
    lowest = dict(LOWEST)
    if {"jupyterlab", "notebook"} & versions.keys():
        lowest["jupyterlab_widgets"] = (3,)
    for name, least in lowest.items():
        is_needed = name in NEEDED or name == "jupyterlab_widgets"
        if name in versions and _numbers(versions[name]) < least:
            problem = f"{name} {versions[name]} is too old: answers cannot be shown live"
        elif name not in versions and is_needed:
            problem = f"{name} is missing: answers cannot be shown live"
        else:
            continue
        wanted = ".".join(map(str, least))
        pip = f"{sys.executable or 'python'} -m pip"
        todo = f"{pip} install --upgrade '{name}>={wanted}', then restart the kernel."
        yield Finding("Front end", "failed", problem, todo)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text.partition("+")[0])[:3]))


def check_view(
    settings: Settings, environ: Mapping[str, str], is_watched: Callable[[], bool] | None
) -> Finding:
    """Tell how answers will be shown.

    Parameters
    ----------
    settings
        With QIANFAN_LIVE.
    environ
        The environment.
    is_watched
        Tells whether a front end is recognised in this kernel; None where there is no kernel.
    """
    live = f"QIANFAN_LIVE is {settings.live}"
    if is_watched is None:
        said = f"no notebook runs this, so how it shows answers is not known; {live}"
        return Finding("Answers", "ok", said)
    try:
        watched = is_watched()
    except QianfanError as error:
        return Finding.of("Answers", error)
    when = "while they arrive" if watched else "once they are whole"
    if settings.live != "auto":
        return Finding("Answers", "ok", f"shown {when}, as {live}")
    if watched:
        server = "JPY_SESSION_NAME" in environ
        which = "a Jupyter server named this session" if server else "VS Code's or Colab's"
        return Finding("Answers", "ok", f"shown {when}; front end: {which}; {live}")
    said = f"shown {when}: no front end is recognised; {live}"
    todo = "If you see this in a notebook's page, set QIANFAN_LIVE=on."
    return Finding("Answers", "note", said, todo)
