"""Check the versions of Python, IPython and Jupyter, and how answers are shown."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.errors import QianfanError

__all__ = [
    "FRONT_END_PACKAGES",
    "MINIMUM_VERSIONS",
    "REQUIRED_PACKAGES",
    "check_packages",
    "check_python",
    "check_view",
    "installed_versions",
]

#: Packages whose versions are shown.
FRONT_END_PACKAGES = (
    "ipython",
    "ipykernel",
    "ipywidgets",
    "anywidget",
    "jupyterlab",
    "notebook",
    "jupyterlab_widgets",
    "nbconvert",
)
#: The lowest version of each package with which live answers have been seen to work.
MINIMUM_VERSIONS = {
    "ipython": "8.20",
    "ipywidgets": "8",
    "anywidget": "0.9",
    "jupyterlab": "4",
    "notebook": "7",
    "jupyterlab_widgets": "3",
}
#: Packages that must be installed beside the kernel.
REQUIRED_PACKAGES = ("ipython", "ipywidgets", "anywidget")


def installed_versions(names: Sequence[str] = FRONT_END_PACKAGES) -> dict[str, str]:
    """Return the versions of those packages that are installed in this environment."""
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def check_python() -> Finding:
    """Report the versions of Python and of this package."""
    package = installed_versions(("qianfan-magic",)).get("qianfan-magic", "(not installed)")
    message = f"{platform.python_version()} on {platform.system()}, qianfan-magic {package}"
    return Finding("Python", "ok", message)


def check_packages(versions: Mapping[str, str]) -> Iterator[Finding]:
    """Report the versions of the front end's packages, and which are missing or too old.

    Parameters
    ----------
    versions
        Versions of the packages installed beside the kernel, by name. JupyterLab may run in
        another environment, which cannot be seen from here.
    """
    listed = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield Finding("Front end", "ok", listed or "none of its packages is installed here")
    minimums, required = dict(MINIMUM_VERSIONS), set(REQUIRED_PACKAGES)
    # The JavaScript half of ipywidgets belongs where JupyterLab runs, so only if that is here.
    if {"jupyterlab", "notebook"} & versions.keys():
        required.add("jupyterlab_widgets")
    else:
        del minimums["jupyterlab_widgets"]
    for name, minimum in minimums.items():
        if name in versions and _is_older(versions[name], minimum):
            problem = f"{name} {versions[name]} is too old: answers cannot be shown live"
        elif name not in versions and name in required:
            problem = f"{name} is missing: answers cannot be shown live"
        else:
            continue
        pip = f"{sys.executable or 'python'} -m pip"
        hint = f"{pip} install --upgrade '{name}>={minimum}', then restart the kernel."
        yield Finding("Front end", "failed", problem, hint)


def _is_older(installed_version: str, minimum: str) -> bool:
    try:
        # A pre-release of the minimum (8.0.0rc1) already has what is needed.
        return Version(Version(installed_version).base_version) < Version(minimum)
    except InvalidVersion:  # a distribution's own numbering, which cannot be compared
        return False


def check_view(
    settings: Settings, environ: Mapping[str, str], is_watched: Callable[[], bool] | None
) -> Finding:
    """Report how answers are shown: while they arrive, or once they are complete.

    Parameters
    ----------
    settings
        ``live`` (QIANFAN_LIVE) decides, unless it is ``auto``.
    environ
        The environment; a Jupyter server sets JPY_SESSION_NAME for its kernels.
    is_watched
        Returns whether this kernel has a front end; None outside a kernel.
    """
    setting = f"QIANFAN_LIVE is {settings.live}"
    if is_watched is None:
        message = f"unknown, because no notebook runs this; {setting}"
        return Finding("Answers", "ok", message)
    try:
        watched = is_watched()
    except QianfanError as error:
        return Finding.of("Answers", error)
    when = "while they arrive" if watched else "once they are complete"
    if settings.live != "auto":
        return Finding("Answers", "ok", f"shown {when}, because {setting}")
    if watched:
        has_server = "JPY_SESSION_NAME" in environ
        front_end = "one of a Jupyter server" if has_server else "VS Code's, Colab's or a console"
        return Finding("Answers", "ok", f"shown {when}; front end: {front_end}; {setting}")
    message = f"shown {when}: no front end is recognised; {setting}"
    hint = "If you see this in a notebook's page, set QIANFAN_LIVE=on."
    return Finding("Answers", "note", message, hint)
