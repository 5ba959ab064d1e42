"""Emphasis beside Chinese, Japanese and Korean text, by the CJK-friendly amendments."""

from __future__ import annotations

import re
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_notebook, new_output

from qianfan_magic.views.rendering.answer import AnswerOutput
from qianfan_magic.views.rendering.cjk_emphasis import CJK, cjk_emphasis
from qianfan_magic.views.rendering.incremental import BlockStream

#: Markdown, and its HTML with ``b`` for ``strong`` and ``i`` for ``em``. "Amendments" is
#: https://github.com/tats-u/markdown-cjk-friendly (MIT), its specification and its test cases.
PAIRS = {
    # Chinese: quotation marks, brackets, full stops, dashes
    "**“…”**是": "<b>“…”</b>是",
    "**「测试」**的**（备注）**": "<b>「测试」</b>的<b>（备注）</b>",
    "他说**“你好”**然后走了": "他说<b>“你好”</b>然后走了",
    "*《论语》*是书": "<i>《论语》</i>是书",
    "***“重点”***在此": "<i><b>“重点”</b></i>在此",
    "**注意：**先备份": "<b>注意：</b>先备份",
    "**长城（Great Wall）**很长": "<b>长城（Great Wall）</b>很长",
    "共**21%**的人": "共<b>21%</b>的人",
    "**“甲”和**乙**“丙”**": "<b>“甲”和</b>乙<b>“丙”</b>",
    "**[万里长城](https://e.example)**在北方": "<b>[a]万里长城[/a]</b>在北方",
    "先**`pip`**再": "先<b>[code]pip[/code]</b>再",
    "~~（旧价）~~新价": "<s>（旧价）</s>新价",
    "1. **第一，**开工\n2. **“第二”**完工": "<b>第一，</b>开工 <b>“第二”</b>完工",
    # Japanese: kana, half-width kana, and a character outside the basic plane
    "太郎は**「こんにちわ」**といった": "太郎は<b>「こんにちわ」</b>といった",  # amendments
    "**C#**や**F#**は**「.NET」**と": "<b>C#</b>や<b>F#</b>は<b>「.NET」</b>と",  # amendments
    "これは**強調。**だから": "これは<b>強調。</b>だから",
    "ｶﾅ**(kana)**ﾃｽﾄ": "ｶﾅ<b>(kana)</b>ﾃｽﾄ",
    "𠮟**(正式)**表記": "𠮟<b>(正式)</b>表記",
    # Korean, composed and in parts (U+1161 and U+110F)
    "**스크립트(script)**라고": "<b>스크립트(script)</b>라고",  # amendments
    "\u1161**(a)**": "\u1161<b>(a)</b>",  # amendments
    "**(k)**\u110f": "<b>(k)</b>\u110f",  # amendments
    # full-width forms, and symbols that are characters rather than emoji
    "ＡＢ**（Ｃ）**ＤＥ": "ＡＢ<b>（Ｃ）</b>ＤＥ",
    "税込**¥10,000**で": "税込<b>¥10,000</b>で",  # amendments
    "a**㊗**a": "a<b>㊗</b>a",  # amendments
    # variation selectors: of an ideograph, of a compatibility ideograph, of quotation marks
    "禰\U000e0100**(k)**豆子": "禰\U000e0100<b>(k)</b>豆子",  # amendments
    "塚\ufe00**(U+585A)**字": "塚\ufe00<b>(U+585A)</b>字",  # amendments
    "**“\ufe01Git”\ufe01**Hub": "<b>“\ufe01Git”\ufe01</b>Hub",  # amendments
    "正體字。\ufe01_Traditional._": "正體字。\ufe01<i>Traditional.</i>",  # amendments
    # unchanged: names, spaces inside, and what CommonMark already does
    "snake_变量_名": "snake_变量_名",
    "中_文_字": "中_文_字",
    "__注意__：事項": "<b>注意</b>：事項",  # amendments
    "长城** 很长 **啊": "长城** 很长 **啊",
    "2*3*4 = 24": "2<i>3</i>4 = 24",
    "\\*\\*“引号”\\*\\*是": "**“引号”**是",
    "`**“代码”**是`": "[code]**“代码”**是[/code]",
    # unchanged: no CJK character beside the delimiter
    "a**a«**a": "a**a«**a",  # amendments
    "a**😀?**a": "a**😀?**a",
    "😀**(smile)**a": "😀**(smile)**a",
}
#: Text of the kinds of characters that the rule looks at, dense in delimiters.
ALPHABET = "**__~~`\\[]() \n\u3000ab1.,!?\"'«»“”‘’—…·€😀é\xa0#中。「ｶ한Ｃ\ufe00\ufe01\U000e0100"


def emphasis(html: str) -> str:
    """Shorten what is of interest, write links and code in brackets, and drop other tags."""
    html = re.sub(r"<(/?)strong>", r"<\1b>", html).replace("<em>", "<i>").replace("</em>", "</i>")
    html = re.sub(r"<(/?)(code|a)\b[^>]*>", r"[\1\2]", html)
    return " ".join(re.sub(r"<(?!/?[bis]>)[^>]*>", " ", html).split())


def live(parts) -> str:
    """Return what the page of the live view shows at the end."""
    stream, closed, last = BlockStream(), "", ""
    for part in parts:
        frame = stream.frame(part)
        closed, last = closed + frame.closed, frame.open
    return closed + last


def test_emphasis_beside_cjk_characters():
    for text, expected in PAIRS.items():
        assert emphasis(AnswerOutput(text, "markdown").html()) == expected, text


def test_live_view_shows_the_same():
    for text, expected in PAIRS.items():
        for parts in ([text], list(text)):
            assert emphasis(live(parts)) == expected, text


def test_exported_page_shows_the_same():
    bundle = AnswerOutput("\n\n".join(PAIRS), "markdown").bundle()
    cell = new_code_cell(outputs=[new_output("display_data", bundle)])
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(new_notebook(cells=[cell]))
    assert bundle["text/html"] in page


def has_cjk(text: str) -> bool:
    return bool(re.search(f"{CJK}|[\ufe00-\ufe0e\U000e0100-\U000e01ef]", text))


@given(
    st.one_of(
        st.text(st.sampled_from(ALPHABET), max_size=40),
        st.text(st.one_of(st.sampled_from("**_~"), st.characters()), max_size=40),
    ).filter(lambda text: not has_cjk(text))
)
@example("**a«**b _c_d ***e***f ~~(g~~h**")
@example('a**"b"**c')
def test_text_without_cjk_characters_is_rendered_as_before(text):
    before, now = (MarkdownIt("commonmark").enable("strikethrough") for _ in range(2))
    assert now.use(cjk_emphasis).render(text) == before.render(text)


@given(st.text(st.sampled_from(ALPHABET), max_size=40))
def test_only_delimiters_become_emphasis(text):
    """Whatever is emphasised, no other character is lost."""
    plain = MarkdownIt("zero").render(text)
    marked = MarkdownIt("zero").enable(["emphasis", "strikethrough"]).use(cjk_emphasis).render(text)
    without = [re.sub(r"</?\w+>|[*_~]", "", html) for html in (plain, marked)]
    assert without[0] == without[1]


def test_characters_are_those_of_the_specification():
    """The class agrees with Python's Unicode data, which is older and has no emoji property."""
    assigned = [chr(n) for n in range(0x1100, 0x40000) if unicodedata.category(chr(n)) != "Cn"]
    inside = {c for c in assigned if re.match(CJK, c)}
    wide = {c for c in assigned if unicodedata.east_asian_width(c) in "WFH"}
    hangul = {c for c in assigned if "HANGUL" in unicodedata.name(c, "")}
    # They differ in emoji, and in trigrams and counting rods, which became wide in Unicode 16.
    assert {unicodedata.category(c) for c in inside ^ (wide | hangul)} <= {"So", "Sk", "Sm", "No"}
