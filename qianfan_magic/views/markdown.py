"""A model's answer as HTML that can do nothing but be read.

Raw HTML in the answer is text (markdown-it-py with ``html`` off); what comes out is sanitised
once more (nh3), so that neither has to be trusted alone.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "hr", "br", "pre", "code"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
    *("a", "del", "em", "s", "strong"),
}
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "th": {"style"}, "td": {"style"}}
SCHEMES = {"http", "https", "mailto"}
_WEB = re.compile("https?://|mailto:", re.IGNORECASE)


def to_html(text: str) -> str:
    """Render Markdown from a stranger.

    Parameters
    ----------
    text
        An answer.

    Returns
    -------
    str
        HTML without scripts, styles, images, ids, classes and event attributes; links go to
        ``http``, ``https`` and ``mailto`` only.
    """
    import nh3

    return nh3.clean(
        _parser().render(text),
        tags=TAGS,
        attributes=ATTRIBUTES,
        url_schemes=SCHEMES,
        filter_style_properties={"text-align"},
        link_rel="noopener noreferrer nofollow",
    )


def parse(text: str) -> list[Token]:
    """Return the tokens of Markdown, for those who ask where its blocks begin."""
    return _parser().parse(text)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # A link within this server, or beside this notebook, is none that an answer may make.
    parser.validateLink = lambda url: bool(_WEB.match(url))  # type: ignore[method-assign]
    parser.add_render_rule("image", _image_as_link)
    parser.add_render_rule("th_open", _aligned)
    parser.add_render_rule("td_open", _aligned)
    return parser


def _image_as_link(renderer: Any, tokens: Sequence[Token], place: int, *_: Any) -> str:
    """Say where an image is in the place of loading it: loading tells its owner who reads."""
    del renderer
    source, alt = str(tokens[place].attrs.get("src", "")), tokens[place].content
    return f'<a href="{escape(source)}">[image: {escape(alt or source)}]</a>'


def _aligned(renderer: Any, tokens: Sequence[Token], place: int, *rest: Any) -> str:
    """Align a cell left unless the table says otherwise: JupyterLab would align it right."""
    tokens[place].attrs.setdefault("style", "text-align:left")
    return str(renderer.renderToken(tokens, place, *rest))


#: What a Markdown renderer that allows HTML could run, load or follow: tags, images, and links
#: that do not plainly go to a web or mail address.
_ACTIVE = re.compile(r"<[a-zA-Z/!?]|!\[|\](\(|:)\s*(?!https?://|mailto:)", re.IGNORECASE)


def inert_markdown(text: str) -> str:
    """Return Markdown that is harmless in a tool that renders it without sanitising.

    An answer that holds nothing active is returned as it is; any other as a literal block.
    """
    if not _ACTIVE.search(text):
        return text
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


#: Control characters but newline and tab, and those that turn the direction of writing: in a
#: terminal they move the cursor, in a page they make text look like other text.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Write control characters and bidirectional overrides so that they are seen: ``\x1b``."""
    text = text.replace("\r\n", "\n")
    return _HIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
