"""JupyterLab behind a content security policy: the widgets run, and violate nothing.

The policy is the strictest one under which JupyterLab 4.6 and anywidget 0.11 work themselves:
docs/front-ends.md says which of them needs what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect
from support.jupyterlab import IS_READY, PATIENCE, SETUP, OpenNotebook, running_lab, set_pace

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'unsafe-eval' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "font-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
NOTE_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) => violations.push(
        [event.effectiveDirective, event.blockedURI, event.sourceFile, event.sample].join(" ")));
"""
#: JupyterLab's page has a script in it that takes the token out of the address.
OF_JUPYTERLAB = "script-src-elem inline http://localhost"
ASK = "%%qianfan_chat\nPlease introduce The Great Wall"


def test_widgets_run_behind_a_strict_policy(browser: Browser, tmp_path: Path) -> None:
    headers = {"Content-Security-Policy": "; ".join(map(" ".join, POLICY.items()))}
    option = f"--ServerApp.tornado_settings={ {'headers': headers} }"
    with running_lab(tmp_path, "jupyterlab", option) as lab, browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.add_init_script(NOTE_VIOLATIONS)
        path = lab.write("policy.ipynb", SETUP, set_pace(0.1), "%qianfan params", ASK)
        response = page.goto(lab.address_of(path))
        assert "default-src 'none'" in response.headers["content-security-policy"]
        page.wait_for_function(IS_READY)
        notebook = OpenNotebook(page, path)
        notebook.run_all()
        page.locator(".qianfan-reply strong", has_text="Great Wall").wait_for()
        notebook.wait_idle()
        expect(notebook.output(2).get_by_role("slider", name="temperature")).to_be_visible()
        expect(notebook.output(3).locator(".qianfan-answer")).to_contain_text("UNESCO")
        violations = page.evaluate("violations")
        assert [each for each in violations if not each.startswith(OF_JUPYTERLAB)] == []
