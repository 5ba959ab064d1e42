"""Links and images of an answer: where they lead, and what they say about it."""

from __future__ import annotations

import base64
import re

from qianfan_magic.views.rendering.formats import body
from qianfan_magic.views.rendering.markdown import to_html
from qianfan_magic.views.rendering.sanitize import MAX_IMAGE_BYTES, is_image, sanitize

REL = 'rel="noopener noreferrer nofollow"'

# --- links

#: Texts that name another host than the address has.
DECEPTIVE = {
    "another host": ("good.example", "https://evil.example"),
    "another address": ("https://good.example/a", "https://evil.example/b"),
    "within a sentence": ("see good.example now", "https://evil.example"),
    "in bold": ("**good**.example", "https://evil.example"),
    "in code": ("`good.example`", "https://evil.example"),
    "in capitals": ("GOOD.EXAMPLE", "https://evil.example"),
    "wide letters": ("ｇｏｏｄ.example", "https://evil.example"),
    "ideographic stop": ("good。example", "https://evil.example"),
    "letter as an entity": ("good.e&#120;ample", "https://evil.example"),
    "address in numbers": ("127.0.0.1", "https://evil.example"),
    "this computer": ("http://localhost:8888/lab", "https://evil.example"),
    "www of another": ("www.good.example", "https://evil.example"),
    "below the host": ("evil.example.good.example", "https://evil.example"),
    "beginning of the host": ("good.example", "https://good.example.evil.example"),
    "userinfo": ("good.example", "https://good.example@evil.example/"),
    "userinfo with a password": ("good.example", "https://good.example:x@evil.example/"),
    "in the path": ("good.example", "https://evil.example/good.example"),
    "in the query": ("good.example", "https://evil.example?good.example"),
    "with a port": ("good.example", "https://evil.example:8443"),
    "mail with two at signs": ("good.example", "mailto:li@good.example@evil.example"),
    "mail at another host": ("li@good.example", "mailto:li@evil.example"),
    "mail address of a web link": ("li@good.example", "https://evil.example"),
}


def test_link_that_names_another_host_says_its_own():
    for name, (text, address) in DECEPTIVE.items():
        html = to_html(f"[{text}]({address})")
        assert re.search(r"</a> \((good\.example\.)?evil\.example\)</p>", html), name


def test_link_in_lookalike_letters_says_its_host():
    for text, address, host in (  # the first letter is Cyrillic, where it is not "a"
        ("аpple.com", "https://apple.com", "apple.com"),
        ("аpple.com", "https://xn--pple-43d.com", "xn--pple-43d.com"),
        ("apple.com", "https://xn--pple-43d.com", "xn--pple-43d.com"),
    ):
        assert to_html(f"[{text}]({address})").endswith(f"</a> ({host})</p>\n"), (text, address)


def test_link_that_names_its_own_host_is_unchanged():
    for text, address in (
        ("the wall", "https://e.example"),
        ("e.example", "https://e.example/a?b#c"),
        ("https://e.example/a", "https://e.example/a"),
        ("www.e.example", "https://e.example"),
        ("e.example", "https://www.e.example"),
        ("E.Example", "https://e.example"),
        ("e.example", "http://e.example"),
        ("e.example:8443", "https://e.example:8443"),
        ("li@e.example", "mailto:li@e.example"),
        ("mail", "mailto:li@e.example"),
        ("version 1.2.3, i.e. the last", "https://e.example"),
        ("3.14", "https://e.example"),
        ("https://e.example/a.html", "https://e.example/a.html"),
        ("https://e.example/a/README.md#b", "https://e.example/a/README.md"),
    ):
        # REL: the link tells its destination nothing about the notebook.
        assert to_html(f"[{text}]({address})") == f'<p><a href="{address}" {REL}>{text}</a></p>\n'


# If a host name were looked for from each letter to the end of the word, this would take hours.
def test_link_with_a_long_word_says_its_host():
    for word in ("a" * 1_000_000, "a." * 500_000, "good.example" + "-" * 1_000_000):
        html = sanitize(f'<a href="https://evil.example">{word}</a>')
        assert html.endswith("</a> (evil.example)"), word[:12]
    words = '<a href="https://evil.example">' + "a " * 500_000 + "</a>"
    assert sanitize(words).endswith("a </a>")


def test_link_without_a_web_address_is_its_text():
    for html in ("<a>x</a>", '<a href="">x</a>', '<a name="x">x</a>', '<a href="/lab">x</a>'):
        assert sanitize(html) == "x", html
    for text in ("[x](#top)", "[x](/lab)", "[x](a.ipynb)", "[x](//e.example)"):
        assert "<a" not in to_html(text), text


def test_link_with_marked_text_says_its_host():
    html = sanitize('<a href="https://evil.example">good<b>.</b>example</a>')
    assert html.endswith("</a> (evil.example)")


# --- elements that are opened again


def test_formatting_with_other_attributes_is_not_multiplied():
    html = sanitize("".join(f"<b x={number}><p>" for number in range(1_000)))
    assert html.count("<b>") <= 4 * 1_000  # not 500,000


def test_formatting_keeps_its_text():
    for html, expected in (
        ('<b class="x">a</b>', "<b>a</b>"),
        ("<CODE title='a > b' x>c</CODE>", "<code>c</code>"),
        ('<b title="a>b">c</b>', "<b>c</b>"),
        ("<br class=x>a<b", "<br>a"),
        ('<i x="a>b', "<i>b</i>"),
        ("<u/>a", "<u>a</u>"),
    ):
        assert sanitize(html) == expected, html


# If the end of each were looked for to the end of the text, this would take hours.
def test_formatting_without_an_end_is_read_once():
    for unit in ("<b ", '<b x="', "<b x='\"", "<b =", '<b x=">'):
        assert "=" not in sanitize(unit * 300_000 + "a"), unit


# --- styles


# --- elements and styles


def test_only_the_elements_of_an_answer_stay():
    for name in ("article", "center", "figure", "map", "nav", "ruby", "svg", "form", "dialog"):
        assert sanitize(f"<{name}>a</{name}>") == "a", name


def test_only_the_styles_of_cells_and_lists_stay_and_only_where_they_are_ours():
    cell = (
        '<table><tbody><tr><td style="position:fixed;text-align:left">a</td></tr></tbody></table>'
    )
    assert '<td style="text-align:left">a</td>' in sanitize(cell, styled=True)
    assert "<td>a</td>" in sanitize(cell)


# --- images


def data_url(kind: str, size: int = 30) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(b'x' * size).decode()}"


def test_raster_image_in_the_answer_is_shown():
    for kind in ("png", "jpeg", "gif", "webp"):
        html = to_html(f"![a wall]({data_url(kind)})")
        image = f'<img src="{data_url(kind)}" alt="a wall" style="max-width:100%">'
        assert html == f"<p>{image}</p>\n"


def test_image_has_a_maximum_size():
    assert is_image(data_url("png", MAX_IMAGE_BYTES))
    assert not is_image(data_url("png", MAX_IMAGE_BYTES + 1))


def test_image_that_is_too_large_is_not_shown():
    # In HTML: markdown-it takes half a second for a text of 1 MB.
    assert "<img" not in sanitize(f'<img src="{data_url("png", MAX_IMAGE_BYTES + 1)}">')


def test_other_image_is_not_loaded():
    for source in (
        data_url("svg+xml"),
        data_url("tiff"),
        "data:text/html;base64,eHh4",
        "data:image/png,xxx",
        "data:image/png;base64,abc",
        "https://e.example/a.png",
        "a.png",
        "blob:https://e.example/1",
        "",
    ):
        assert "<img" not in to_html(f"![a]({source})"), source
        assert "<img" not in sanitize(f'<img src="{source}" alt="a">'), source


def test_remote_image_is_a_link_that_says_so():
    link = f'<a href="https://e.example/a.png" {REL}>[image: a]</a>'
    assert to_html("![a](https://e.example/a.png)") == f"<p>{link}</p>\n"
    assert body('<img src="https://e.example/a.png" alt="a">', "html") == link


def test_image_that_is_not_loaded_is_described():
    for alt, words in (("", "[image]"), (' alt="a"', "[image: a]")):
        assert sanitize(f'<img src="{data_url("tiff")}"{alt}>') == words, alt


def test_remote_image_that_names_another_host_says_its_own():
    assert "]</a> (evil.example)" in to_html("![good.example](https://evil.example/a.png)")


def test_remote_image_without_alternative_text_is_its_address():
    assert ">[image: https://e.example/a.png]</a>" in to_html("![](https://e.example/a.png)")


def test_image_in_a_link_is_described():
    html = to_html(f"[![a]({data_url('png')})](https://e.example)")
    assert html == f'<p><a href="https://e.example" {REL}>[image: a]</a></p>\n'


def test_alternative_text_is_escaped():
    assert 'alt="&quot; onload=&quot;x"' in to_html(f'![" onload="x]({data_url("png")})')
