"""Messages in Chinese: the catalogue is whole, and each kind of message is translated."""

from __future__ import annotations

import gettext
import re
from string import Formatter

import pytest
from support.messages import CATALOGUE, extract, read

from qianfan_magic import ParameterError, QianfanClient
from qianfan_magic.api.wire.error_codes import api_error
from qianfan_magic.embedded.server import EmbeddedServer
from qianfan_magic.language import choose_language, current_language, tr, trn

OUTDATED = "run python tests/support/messages.py"
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def chinese(monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION")
    monkeypatch.setenv("QIANFAN_LANGUAGE", "zh")
    choose_language("zh")
    yield
    choose_language("auto")


def fields(message: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(message) if name}


# --- the catalogue


def test_catalogue_has_each_message_of_the_code_and_no_other():
    known, used = ({message.id for message in c if message.id} for c in (read(), extract()))
    assert known == used, OUTDATED


def test_each_message_is_translated_with_its_values():
    for message in read():
        if not message.id:
            continue
        many = message.id[-1] if message.pluralizable else message.id
        translated = message.string[0] if message.pluralizable else message.string
        assert translated, message.id
        assert not message.fuzzy, message.id
        if "python-brace-format" in message.flags:
            assert fields(translated) == fields(many), message.id


def test_compiled_catalogue_is_that_of_the_translations():
    with CATALOGUE.with_suffix(".mo").open("rb") as file:
        stands = gettext.GNUTranslations(file)
    for message in read():
        if message.pluralizable:
            assert stands.ngettext(message.id[0], message.id[1], 2) == message.string[0], OUTDATED
        elif message.id:
            assert stands.gettext(message.id) == message.string, OUTDATED


# --- the language


@pytest.mark.parametrize(
    ("chosen", "locale", "language"),
    [
        ("auto", "zh_CN.UTF-8", "zh"),
        ("auto", "en_US.UTF-8", "en"),
        ("auto", "C", "en"),
        ("en", "zh_CN.UTF-8", "en"),
        ("zh", "de_DE.UTF-8", "zh"),
    ],
)
def test_setting_or_locale_chooses(monkeypatch, chinese, chosen, locale, language):
    choose_language(chosen)
    monkeypatch.setenv("LC_ALL", locale)
    assert current_language() == language


def test_it_is_english_under_pytest_and_so_for_nbval(monkeypatch, chinese):
    monkeypatch.setenv("PYTEST_VERSION", "9")
    assert current_language() == "en"


def test_numbers_are_filled_in(chinese):
    assert tr("There is no column {number}", number=4) == "没有第 4 列"
    assert trn("{count} turn", "{count} turns", 2) == "2 轮"


# --- each kind of message


def test_errors_and_hints_are_chinese(chinese):
    error = api_error(17, "Open api daily request limit reached")
    assert "达到每天的限额" in error.message
    assert "千帆控制台" in error.hint
    with (
        EmbeddedServer() as server,
        QianfanClient(server.settings(language="zh")) as client,
        pytest.raises(ParameterError) as caught,
    ):
        client.chat([{"role": "user", "content": "hi"}], temperature=3)
    assert caught.value.message == "temperature 是 3，但必须是：数字，范围 (0, 1]"
    assert caught.value.hint.startswith("temperature (--temperature): 越高越随机")


def test_what_a_notebook_shows_is_chinese(chinese, notebook):
    shown = notebook.run("%%qianfan_chat\nhi", "%%qianfan_chat --max-tokens 2\nhi")
    assert "[回答达到服务的长度上限，被截断了。]" in shown
    assert "完成" in shown
    for line in ("%qianfan params temperature=0.5", "%qianfan help", "%qianfan reset"):
        assert CHINESE.search(notebook.run(line)), line
    assert notebook.fail("%qianfan modls")[0].message == "%qianfan 没有子命令 'modls'"
