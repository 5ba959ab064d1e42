"""What HTML of an answer may hold, by an HTML5 parser, as browsers build the page.

It is specified apart from the package: an element, attribute or URL that its sanitiser begins to
let through is a fault here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser

TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "ul", "ol", "li"),
    *("div", "span", "sup", "sub", "img", "b", "i", "u", "kbd", "mark", "details", "summary"),
    *("a", "em", "strong", "s", "del", "code", "table", "thead", "tbody", "tr", "th", "td"),
    *("caption", "dl", "dt", "dd"),
}
ATTRIBUTES = {("a", "href"), ("a", "rel"), ("ol", "start"), ("img", "src"), ("img", "alt")}
ATTRIBUTES |= {
    (tag, "style")
    for tag in ("p", "pre", "code", "th", "td", "li", "div", "span", "img", "b", "i", "table", "ol")
}
ATTRIBUTES |= {("div", "class"), ("div", "tabindex"), ("span", "class"), ("code", "class")}
#: The elements that fold the model's reasoning, and the calls of functions.
ATTRIBUTES |= {("details", "class"), ("details", "style"), ("summary", "style")}
# Styles of letters and of the space around them: nothing that loads, covers or hides.
STYLES = (
    "opacity|font-size|white-space|word-break|overflow-wrap|margin(?:-top|-bottom|-left)?|text-align|list-style-type"
    "|contain|overflow-x|max-width|color|font-weight|font-style|vertical-align|display(?=: ?block)"
    "|padding(?:-left)?|border-left|background|width|min-width|cursor|--[a-z]{1,2}"
)
VALUES = {
    "href": re.compile(r"(https?://|mailto:).*", re.IGNORECASE | re.DOTALL),
    "rel": re.compile(r".*\bnoopener\b.*\bnoreferrer\b.*"),
    "start": re.compile(r"[+-]?\d+"),
    "tabindex": re.compile("0"),
    "style": re.compile(rf"(({STYLES}): ?((?!url|expression|attr)[\w.%#,()* -])+(; ?)?)+"),
    # Colors of code have a class of one or two letters while an answer arrives.
    "class": re.compile(
        r"(qianfan-answer mathjax_ignore tex2jax_ignore)|mathjax_process tex2jax_process"
        r"|qianfan-(thoughts|call)|(language-[\w+#-]+)?|[a-z]{1,2}"
    ),
    "src": re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+", re.IGNORECASE),
    "alt": re.compile(r".*", re.DOTALL),
}

#: What may never be there, however the lists above grow: what runs, loads, sends, or covers.
NEVER_TAGS = {
    *("script", "style", "link", "meta", "base", "iframe", "frame", "frameset", "object", "embed"),
    *("applet", "form", "input", "button", "select", "textarea", "svg", "math", "template", "slot"),
    *("audio", "video", "source", "track", "dialog", "portal", "noscript", "title"),
}
#: Event handlers; names, by which `window` and `document` are clobbered; addresses of what is
#: loaded or run; and attributes by which JupyterLab makes a control of an element.
NEVER_ATTRIBUTES = re.compile(
    r"on.*|id|name|srcdoc|srcset|action|formaction|xlink:.*|background|poster|ping|is|slot|data-.*"
    r"|contenteditable|autofocus|popover.*"
)
#: The elements of every page, which have no attributes.
_PAGE = {"html", "head", "body"}
#: Schemes of addresses that may stand in any attribute.
_SCHEMES = ("http:", "https:", "mailto:", "data:image/")
_ADDRESSES = {"href", "src"}


def faults(html: str) -> list[str]:
    """Return the elements and attributes in HTML that may not be there."""
    # As a page: whatever closes its body, or gives the body an attribute, is found as well.
    page = LexborHTMLParser(f"<!DOCTYPE html><body>{html}")
    nodes = page.root.traverse(include_text=False) if page.root else ()
    return [fault for node in nodes for fault in _faults(node)]


def _faults(node: Any) -> Iterator[str]:
    tag = node.tag
    if tag not in TAGS | _PAGE or tag in NEVER_TAGS:
        yield f"<{tag}>"
    for name, value in (node.attributes or {}).items():
        allowed = (tag, name) in ATTRIBUTES and VALUES[name].fullmatch(value or "")
        if not allowed or NEVER_ATTRIBUTES.fullmatch(name) or not _is_harmless(name, value or ""):
            yield f"<{tag} {name}={value!r}>"


def _is_harmless(name: str, value: str) -> bool:
    """Return whether an attribute is no address, or one of a harmless scheme.

    Browsers drop control characters before the scheme, and line ends and tabs within it.
    """
    address = re.sub(r"[\t\r\n]", "", value).lstrip("".join(map(chr, range(33)))).lower()
    return name not in _ADDRESSES or address.startswith(_SCHEMES)


def trusting_html(text: str) -> str:
    """Render Markdown as a tool does that trusts it: raw HTML, any link; without titles."""
    parser: Any = MarkdownIt("commonmark", {"html": True}).enable("table")
    parser.validateLink = lambda _url: True
    return re.sub(r' (class="language-|title=")[^"]*"', "", parser.render(text))
