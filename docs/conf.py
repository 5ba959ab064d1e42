"""Sphinx's configuration of the documentation site: the pages of docs/ and the lessons.

Build: ``python -m pip install -e '.[docs]' && sphinx-build -W -c docs . build/site``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from qianfan_magic import __version__
from qianfan_magic.api.catalogue.parameters import PARAMETERS
from qianfan_magic.api.types import ApiVersion
from qianfan_magic.api.wire.error_codes import CODES

project = "qianfan_magic"
author = copyright = "the qianfan_magic authors"  # noqa: A001  Sphinx's own name
version = release = __version__
root_doc = "docs/index"
include_patterns = ["docs/*.md", "notebooks/**.ipynb"]
exclude_patterns = [
    "docs/architecture.md"
]  # for engineers; its diagram is shown by the host of the code
extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
nb_execution_mode = "off"  # the lessons are stored with their outputs
myst_heading_anchors = 3
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
html_theme = "furo"
smartquotes = False  # or the two hyphens of a flag become a dash
html_title = "qianfan_magic"


class ParameterTable(SphinxDirective):
    """``{parameter-table}``: all parameters of requests, from the package's own table."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = []
        for parameter in PARAMETERS:
            where = [
                f"{number}: {', '.join(parameter.support[version].kinds)}"
                for number, version in ((1, ApiVersion.V1), (2, ApiVersion.V2))
                if version in parameter.support
            ]
            rows.append((parameter.name, parameter.range, "; ".join(where), parameter.help))
        return table(("name", "values", "version: kinds of service", "what it does"), rows)


class ErrorTable(SphinxDirective):
    """``{error-table}``: the error codes of the service, from the package's own table."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = [
            (str(code), row.meaning, row.error.__name__, row.hint) for code, row in CODES.items()
        ]
        return table(("code", "meaning", "exception", "what to do"), rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[nodes.Node]:
    """Return a table of plain texts; the first column is set as code."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    head, body = nodes.thead(), nodes.tbody()
    head += _row([nodes.Text(text) for text in header])
    for first, *others in rows:
        body += _row([nodes.literal(text=first), *map(nodes.Text, others)])
    group += [head, body]
    whole = nodes.table()
    whole += group
    return [whole]


def _row(contents: Iterable[nodes.Node]) -> nodes.row:
    row = nodes.row()
    for content in contents:
        entry, paragraph = nodes.entry(), nodes.paragraph()
        paragraph += content
        entry += paragraph
        row += entry
    return row


def choose_lexers(_: Sphinx, doctree: nodes.document) -> None:
    """Highlight the text of a chat's cell as Markdown, and no error as a traceback of Python."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource.startswith("%%qianfan"):
            block["language"] = "markdown"
        elif block.get("language") == "ipythontb":
            block["language"] = "text"


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.connect("doctree-read", choose_lexers)
    app.add_directive("parameter-table", ParameterTable)
    app.add_directive("error-table", ErrorTable)
    return {"parallel_read_safe": True}
