"""Sanitise HTML that comes from a model, and make its links and images say where they lead."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from html import escape, unescape
from urllib.parse import urlsplit

import nh3

from qianfan_magic.views.rendering.highlight import COLORS, LANGUAGE_CLASSES
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import TYPESET
from qianfan_magic.views.rendering.style import scrollable

__all__ = ["MAX_IMAGE_BYTES", "WEB", "is_image", "sanitize"]

#: Elements that stay; all others are removed, and their text stays.
TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "hr", "br", "pre", "code"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "caption"),
    *("a", "img", "span", "del", "em", "s", "strong", "sup", "sub", "b", "i", "u", "kbd", "mark"),
    *("div", "dl", "dt", "dd", "details", "summary"),
}
#: Attributes that stay, by element.
ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),  # nh3 allows `title` by default, in which a link could claim another destination
    "a": {"href"},
    "img": {"src", "alt"},
    "ol": {"start"},
    "li": {"style"},
    "th": {"style"},
    "td": {"style"},
}
#: CSS properties that stay.
STYLES = {"text-align", "list-style-type"}
#: Classes that stay, by element: colors of code, formulas, and the language of a block of code.
CLASSES = {"span": {*COLORS, *TYPESET.split()}, "code": LANGUAGE_CLASSES}
#: URLs that a link may lead to.
WEB = re.compile("https?://|mailto:", re.IGNORECASE)
#: Maximum size in bytes of an image that an answer contains as a ``data:`` URL (RFC 2397).
MAX_IMAGE_BYTES = 1_000_000
#: SVG is left out: it is a document, which can load others.
_RASTER = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
#: An element with attributes that a parser opens again in each block until it is closed (HTML
#: standard, 13.2.4.3, "the list of active formatting elements").
_FORMATTING = re.compile(
    r"<(b|big|code|em|font|i|nobr|s|small|strike|strong|tt|u)[\s/]"
    r"""(?:=\s*"[^"]*"|=\s*'[^']*'|[^>])*+>""",
    re.IGNORECASE,
)
# These match what nh3 writes: attributes in double quotes, in which older releases leave `>` as it
# is.
_LINK = re.compile(r'<a((?: [a-z]+="[^"]*")*)>(.*?)</a>', re.DOTALL)
_IMAGE = re.compile(r'<img((?: [a-z]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z]+)="([^"]*)"')
#: A URL in a text. The group is its authority (RFC 3986, section 3.2): host, user and port.
_URL = re.compile(r"(?:https?://|mailto:)([^/\s?#\\]*)\S*")
#: Text in which a host name can stand, and the largest length in which one is looked for: no name
#: is longer (RFC 1035), and to look takes time that grows with the square of the length.
_WORD, _LONGEST_HOST = re.compile(r"[\w.\u3002-]+"), 253
#: What a reader takes for a host name or an IPv4 address. U+3002, the ideographic full stop, is a
#: dot to browsers (UTS #46).
_HOST = re.compile(
    r"(?:[\w-]+\.)+[^\W\d_][\w-]+|(?:[\w-]+[.\u3002])+[a-z]{2,}|\d{1,3}(?:\.\d{1,3}){3}"
)


def sanitize(html: str, *, styled: bool = False) -> str:
    """Sanitise HTML.

    Parameters
    ----------
    html
        HTML of an answer, or rendered from its Markdown.
    styled
        Whether the styles and classes in it are ours (alignment of cells, list markers, colors
        of code, formulas). They are removed from HTML that the model wrote.

    Returns
    -------
    str
        HTML without scripts, ids, event attributes and forms. Links go to ``http``, ``https`` and
        ``mailto`` only; the host is added to a link whose text names another one. Raster images of
        up to 1 MB that the answer contains are shown; all others become links, since loading an
        image tells its owner who reads the answer, and when.

    Examples
    --------
    >>> sanitize("<p onclick='alert(1)'>a<script>alert(1)</script></p>")
    '<p>a</p>'
    >>> sanitize('<a href="https://evil.example">good.example</a>')[-26:]
    'example</a> (evil.example)'
    """
    safe = nh3.clean(
        html if styled else _without_formatting_attributes(html),
        tags=TAGS,
        attributes=ATTRIBUTES if styled else {t: ATTRIBUTES[t] for t in ("*", "a", "img", "ol")},
        attribute_filter=_filter_url,
        url_schemes={"http", "https", "mailto", "data"},
        allowed_classes=CLASSES if styled else {},
        filter_style_properties=STYLES,
        link_rel="noopener noreferrer nofollow",
    )
    # nh3 has decoded entities, and "&#x202e;" stands for an invisible character.
    return scrollable(_IMAGE.sub(_honest_image, _LINK.sub(_honest_link, escape_invisible(safe))))


def is_image(source: str) -> bool:
    """Tell whether a URL is a ``data:`` URL of a raster image of up to `MAX_IMAGE_BYTES` bytes.

    The content is not checked: a browser shows only what it can decode as an image.
    """
    found = _RASTER.fullmatch(source)
    if found is None:
        return False
    try:
        return len(base64.b64decode(found[2], validate=True)) <= MAX_IMAGE_BYTES
    except binascii.Error:
        return False


def _without_formatting_attributes(html: str) -> str:
    """Remove the attributes of elements such as ``<b>``, none of which stays anyway.

    Of those that are alike, a parser opens only three again. If their attributes differ, each block
    gets all of them: 100 kB of ``<b x=1><p><b x=2><p>…`` are HTML of gigabytes.
    """
    end = html.rfind(">") + 1  # so that each search ends at one
    return _FORMATTING.sub(r"<\1>", html[:end]) + html[end:]


def _filter_url(_: str, name: str, value: str) -> str | None:
    """Return the value of an attribute, or None to remove the attribute."""
    if name == "href":
        return value if WEB.match(value) else None
    if name == "src":
        return value if WEB.match(value) or is_image(value) else None
    return value


def _attributes(found: re.Match[str]) -> dict[str, str]:
    return {name: unescape(value) for name, value in _ATTRIBUTE.findall(found[1] or "")}


def _honest_link(found: re.Match[str]) -> str:
    """Add the host to a link whose text names another one."""
    # An image in a link is described in words: it could show any text, such as another address.
    text = _IMAGE.sub(lambda image: escape(_description(_attributes(image))), found[2])
    url = _attributes(found).get("href")
    return f"<a{found[1]}>{text}</a>{_host_note(text, url)}" if url else text


def _host_note(text: str, url: str) -> str:
    """Return a note of a link's host if the link's text names another one; else nothing."""
    host = _host(url)
    return f" ({escape(host)})" if _names_another_host(text, host) else ""


def _host(url: str) -> str:
    """Return the host that a URL leads to, or the domain of a mail address."""
    try:
        parts = urlsplit(url)
        return parts.hostname or parts.path.rpartition("@")[2]  # of a mail address
    except ValueError:
        return "an invalid address"


def _names_another_host(text: str, host: str) -> bool:
    # NFKC turns full-width and other compatibility letters into those that a reader sees.
    visible = unicodedata.normalize("NFKC", unescape(re.sub("<[^>]*>", "", text))).lower()
    authorities = _URL.findall(visible)
    # The user name counts as a host, too: in "https://good.example@evil.example" it looks like one.
    names = [re.sub(r":\d*$", "", part) for found in authorities for part in found.split("@")]
    words = _WORD.findall(_URL.sub(" ", visible))
    names += [name for word in words for name in _hosts_in(word)]
    return any(name.removeprefix("www.") != host.removeprefix("www.") for name in names)


def _hosts_in(word: str) -> list[str]:
    """Return the host names in a word; of one that is too long, the word itself."""
    return _HOST.findall(word) if len(word) <= _LONGEST_HOST else [word]


def _honest_image(found: re.Match[str]) -> str:
    """Keep an image whose data the answer contains; replace any other by a link."""
    attributes = _attributes(found)
    source, alt = attributes.get("src", ""), attributes.get("alt", "")
    if is_image(source):
        return f'<img src="{escape(source)}" alt="{escape(alt)}" style="max-width:100%">'
    text = escape(_description(attributes))
    if not source:
        return text
    rel = "noopener noreferrer nofollow"
    return f'<a href="{escape(source)}" rel="{rel}">{text}</a>{_host_note(text, source)}'


def _description(attributes: dict[str, str]) -> str:
    """Return the words that replace an image which is not loaded."""
    source = attributes.get("src", "")
    name = attributes.get("alt") or ("" if source.startswith("data:") else source)
    return f"[image: {name}]" if name else "[image]"
