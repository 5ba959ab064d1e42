"""The doctor on versions of packages, and on how answers are shown."""

from __future__ import annotations

from qianfan_magic.api.config.settings import Settings
from qianfan_magic.doctor.front_end import check_packages, check_view

GOOD = {"ipython": "9.1.0", "ipywidgets": "8.1.5", "anywidget": "0.9.1", "jupyterlab": "4.2.0"}
GOOD |= {"jupyterlab_widgets": "3.0.10"}


def test_packages_that_are_missing_or_too_old_fail():
    for changes, failing in (
        ({}, []),
        ({"ipykernel": "7.0.0"}, []),
        ({"ipywidgets": "7.8.1"}, ["ipywidgets"]),
        ({"jupyterlab_widgets": "1.1.0"}, ["jupyterlab_widgets"]),
        ({"jupyterlab_widgets": None}, ["jupyterlab_widgets"]),
        # JupyterLab runs in another environment.
        ({"jupyterlab_widgets": None, "jupyterlab": None}, []),
        ({"anywidget": None}, ["anywidget"]),
        ({"ipython": "8.19.9"}, ["ipython"]),
        ({"notebook": "6.5.7"}, ["notebook"]),
        # Pre-releases of the minimum.
        ({"ipywidgets": "8.0.0rc1", "jupyterlab": "4.0.0a1+local.3"}, []),
        ({"ipywidgets": "of a distribution"}, []),
    ):
        versions = {name: number for name, number in (GOOD | changes).items() if number}
        findings = [f for f in check_packages(versions) if f.state == "failed"]
        assert [f.message.split()[0] for f in findings] == failing, changes


def test_hint_about_a_package_is_a_command():
    _, failed = check_packages(GOOD | {"ipywidgets": "7.8.1"})
    assert "-m pip install --upgrade 'ipywidgets>=8'" in failed.hint


def test_way_of_showing_answers_is_explained():
    for watched, setting, state, message in (
        (None, "auto", "ok", "no notebook runs this"),
        (True, "auto", "ok", "while they arrive; front end: VS Code's, Colab's or a console"),
        (True, "on", "ok", "while they arrive, because QIANFAN_LIVE is on"),
        (False, "off", "ok", "once they are complete, because QIANFAN_LIVE is off"),
        (False, "auto", "note", "no front end is recognised"),
    ):
        is_watched = None if watched is None else lambda watched=watched: watched
        finding = check_view(Settings(live=setting), {}, is_watched)
        assert finding.state == state, message
        assert message in finding.message


def test_jupyter_server_is_recognised():
    finding = check_view(Settings(), {"JPY_SESSION_NAME": "a.ipynb"}, lambda: True)
    assert "front end: one of a Jupyter server" in finding.message
