"""HTML from a stranger, made harmless, and its links and images made honest."""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from html import escape, unescape
from urllib.parse import urlsplit

import nh3

from qianfan_magic.views.rendering.highlight import COLORS
from qianfan_magic.views.rendering.invisible import escape_invisible
from qianfan_magic.views.rendering.math import TYPESET

TAGS = {
    *("h1", "h2", "h3", "h4", "h5", "h6", "p", "blockquote", "hr", "br", "pre", "code"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "caption"),
    *("a", "img", "span", "del", "em", "s", "strong", "sup", "sub", "b", "i", "u", "kbd", "mark"),
    *("div", "dl", "dt", "dd", "details", "summary"),
}
ATTRIBUTES: dict[str, set[str]] = {
    "*": set(),  # nh3's own default has `title`, in which a link could pretend another goal
    "a": {"href"},
    "img": {"src", "alt"},
    "ol": {"start"},
    "li": {"style"},
    "th": {"style"},
    "td": {"style"},
}
STYLES = {"text-align", "list-style-type"}
WEB = re.compile("https?://|mailto:", re.IGNORECASE)
#: Bytes of an image that an answer carries in itself.
LARGEST_IMAGE = 1_000_000
_RASTER = re.compile(r"data:image/(png|jpeg|gif|webp);base64,([A-Za-z0-9+/]+={0,2})", re.IGNORECASE)
#: As nh3 writes them: attributes in double quotes, in which older releases leave `>` as it is.
_LINK = re.compile(r'<a((?: [a-z]+="[^"]*")*)>(.*?)</a>', re.DOTALL)
_IMAGE = re.compile(r'<img((?: [a-z]+="[^"]*")*)>')
_ATTRIBUTE = re.compile(r' ([a-z]+)="([^"]*)"')
#: An address in a text, and its host (RFC 3986, section 3.2): behind the user, before the port.
_ADDRESS = re.compile(r"(?:https?://|mailto:)([^/\s?#\\]*)\S*")
#: What a reader takes for the name of a host, or for an address in numbers.
_HOST = re.compile(
    r"(?:[\w-]+\.)+[^\W\d_][\w-]+|(?:[\w-]+[.\u3002])+[a-z]{2,}|\d{1,3}(?:\.\d{1,3}){3}"
)


def sanitize(html: str, *, styled: bool = False) -> str:
    """Sanitise HTML.

    Parameters
    ----------
    html
        A stranger's, or made from a stranger's Markdown.
    styled
        Whether the styles in it are ours: the alignment of cells, the marks of lists.

    Returns
    -------
    str
        Without scripts, ids, event attributes and forms; links go to ``http``, ``https`` and
        ``mailto`` only, and say where if their text pretends another place; images are those
        that the answer carries (raster, up to 1 MB), all others are links that say so.
    """
    safe = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES if styled else {t: ATTRIBUTES[t] for t in ("*", "a", "img", "ol")},
        attribute_filter=_address,
        url_schemes={"http", "https", "mailto", "data"},
        allowed_classes={"span": {*COLORS, *TYPESET.split()}} if styled else {},
        filter_style_properties=STYLES,
        link_rel="noopener noreferrer nofollow",
    )
    # An entity can stand for a hidden character: &#x202e;
    return _IMAGE.sub(_honest_image, _LINK.sub(_honest_link, escape_invisible(safe)))


def is_image(source: str) -> bool:
    """Tell whether an address is itself a raster image of up to `LARGEST_IMAGE` bytes."""
    found = _RASTER.fullmatch(source)
    if found is None:
        return False
    try:
        return len(base64.b64decode(found[2], validate=True)) <= LARGEST_IMAGE
    except binascii.Error:
        return False


def _address(_: str, name: str, value: str) -> str | None:
    """Let a link lead to the web only, and an image only show what it carries."""
    if name == "href":
        return value if WEB.match(value) else None
    if name == "src":
        return value if WEB.match(value) or is_image(value) else None
    return value


def _attributes(found: re.Match[str]) -> dict[str, str]:
    return {name: unescape(value) for name, value in _ATTRIBUTE.findall(found[1] or "")}


def _honest_link(found: re.Match[str]) -> str:
    text = _IMAGE.sub(lambda image: escape(_described(_attributes(image))), found[2])
    address = _attributes(found).get("href")
    if not address:
        return text
    host = _host(address)
    shown = f" ({escape(host)})" if _pretends(text, host) else ""
    return f"<a{found[1]}>{text}</a>{shown}"


def _host(address: str) -> str:
    try:
        parts = urlsplit(address)
        return parts.hostname or parts.path.rpartition("@")[2]
    except ValueError:
        return "an address that is none"


def _pretends(text: str, host: str) -> bool:
    """Tell whether a text names another host than the one a link leads to."""
    seen = unicodedata.normalize("NFKC", unescape(re.sub("<[^>]*>", "", text))).lower()
    named = [re.sub(r":\d*$", "", part) for a in _ADDRESS.findall(seen) for part in a.split("@")]
    named += _HOST.findall(_ADDRESS.sub(" ", seen))
    return any(name.removeprefix("www.") != host.removeprefix("www.") for name in named)


def _honest_image(found: re.Match[str]) -> str:
    attributes = _attributes(found)
    source, alt = attributes.get("src", ""), attributes.get("alt", "")
    if is_image(source):
        return f'<img src="{escape(source)}" alt="{escape(alt)}" style="max-width:100%">'
    text = escape(_described(attributes))
    if not source:
        return text
    host = _host(source)
    rel = "noopener noreferrer nofollow"
    shown = f" ({escape(host)})" if _pretends(text, host) else ""
    return f'<a href="{escape(source)}" rel="{rel}">{text}</a>{shown}'


def _described(attributes: dict[str, str]) -> str:
    """Say where an image is in the place of loading it: loading tells its owner who reads."""
    source = attributes.get("src", "")
    named = attributes.get("alt") or ("" if source.startswith("data:") else source)
    return f"[image: {named}]" if named else "[image]"
