"""`%qianfan models`: the table, the service's list, kept for a day, and what it lists."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from support.notebook import Notebook
from support.raw_server import Answer, RawServer, json_answer
from support.requests_seen import bodies

from qianfan_magic import QianfanClient, QianfanError
from qianfan_magic.api.catalogue.cards import CARDS
from qianfan_magic.api.http.model_list import A_DAY, ModelList
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

MODELS = "/v2/models"
HEADS = ["model", "kind", "API", "named by", "characters", "tokens", "can", "listed"]


def lists(server: EmbeddedServer) -> int:
    """Count how often the list was asked for."""
    return sum(seen.path == MODELS for seen in server.seen)


def table(shown: str) -> dict[str, dict[str, str]]:
    """Read the table by its columns."""
    head, *lines = [line for line in shown.splitlines() if not line.startswith("[")]
    names = re.findall(r"asked by|\S+", head)
    begins = [head.index(name) for name in names]
    ends = [*begins[1:], None]
    cells = [
        [line[begin:end].strip() for begin, end in zip(begins, ends, strict=True)] for line in lines
    ]
    read = [dict(zip(names, row, strict=True)) for row in cells]
    return {row["model"]: row for row in read}


def notes(shown: str) -> list[str]:
    return [line for line in shown.splitlines() if line.startswith("[")]


# --- the table


def test_table_has_each_card(notebook):
    assert table(notebook.run("%qianfan models")).keys() == {card.name for card in CARDS}


def test_heads_of_the_table(notebook):
    assert list(next(iter(table(notebook.run("%qianfan models")).values()))) == HEADS


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("Dolly-12B", ["chat", "1", "-m, -e", "4,800", "", "", ""]),
        ("ERNIE-4.0-8K", ["chat", "1", "-m", "20,000", "5,120", "JSON", ""]),
        ("StarCoder", ["completion", "1", "-m, -e", "", "", "", ""]),
        ("ernie-5.0", ["chat", "2", "-m", "", "119,000", "think, see, JSON", "yes"]),
        ("ernie-x1.1", ["chat", "2", "-m", "", "55,000", "always thinks, JSON", "yes"]),
        ("deepseek-v3.2", ["chat, completion", "2", "-m", "", "96,000", "think, JSON", "yes"]),
    ],
)
def test_row_of_a_card(notebook, name, row):
    assert list(table(notebook.run("%qianfan models"))[name].values())[1:] == row


def test_table_is_sorted_by_version_the_newer_first_and_by_name(notebook):
    rows = table(notebook.run("%qianfan models")).values()
    order = [(-int(row["API"]), row["model"].lower()) for row in rows]
    assert (order == sorted(order), len({version for version, _ in order})) == (True, 2)


def test_html_has_the_same_table(quiet):
    (bundle,) = quiet.run("%qianfan models").bundles
    rows = re.findall(r"<tr>(.*?)</tr>", bundle["text/html"])
    cells = [[unescape(c) for c in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    plain = table(bundle["text/plain"])
    assert (cells[0], {row[0]: row for row in cells[1:]}) == (
        HEADS,
        {name: list(row.values()) for name, row in plain.items()},
    )


def test_numbers_stand_to_the_right(quiet):
    html = quiet.run("%qianfan models").bundles[0]["text/html"]
    assert '<td style="text-align:right">4,800</td>' in html


def test_own_card_stands_in_the_table(notebook):
    notebook.run('%config QianfanMagics.models = {"tutor": "ernie-5.1"}')
    row = table(notebook.run("%qianfan models"))["tutor"]
    assert (row["API"], row["can"], row["listed"]) == ("2", "think, JSON", "yes")


@pytest.fixture
def service(monkeypatch, bare, raw_server) -> Iterator[RawServer]:
    """Give a service whose list a test writes, with keys of version 2."""
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-made/up")
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", raw_server.url)
    return raw_server


def listing(*names: Any, **more: Any) -> Answer:
    data = [{"id": name, "object": "model", "owned_by": "", "created": 0} for name in names]
    return json_answer({"object": "list", "data": data}, **more)


def test_model_that_is_not_listed_is_marked(service, bare):
    service.script.append(listing("ernie-5.1"))
    rows = table(bare.run("%qianfan models"))
    assert (rows["ernie-5.1"]["listed"], rows["ernie-5.0"]["listed"]) == ("yes", "no")


def test_model_without_a_card_stands_in_the_table(service, bare):
    service.script.append(listing("brand-new", "ernie-5.1"))
    row = table(bare.run("%qianfan models"))["brand-new"]
    assert list(row.values()) == ["brand-new", "", "2", "-m", "", "", "", "yes"]


ODD = ["<script>x", "\u202eevil", "a\nb", "half-\ud83d", "\x1b[2J", "../x", " ", "-flag", "a b"]


@pytest.mark.parametrize("name", ODD)
def test_name_that_no_model_has_is_left_out(service, bare, name):
    """A gateway may list anything."""
    service.script.append(listing(name, "brand-new"))
    assert table(bare.run("%qianfan models")).keys() - {card.name for card in CARDS} == {
        "brand-new"
    }


def test_name_of_an_own_card_is_no_html(quiet):
    quiet.run('%config QianfanMagics.models = {"<b>x\\u202e": "ernie-5.1"}')
    (bundle,) = quiet.run("%qianfan models").bundles
    quiet.run("%config QianfanMagics.models = {}")
    both = bundle["text/html"] + bundle["text/plain"]
    assert ("&lt;b&gt;x" in both, "<b>" in bundle["text/html"], "\u202e" in both) == (
        True,
        False,
        False,
    )


@pytest.mark.parametrize(
    "data",
    [[], None, 5, "ernie-5.1", {}, [5], [{"id": 5}], [{"id": ""}], [{}], [None], [["ernie-5.1"]]],
)
def test_list_without_names_lists_nothing(service, bare, data):
    service.script.append(json_answer({"object": "list", "data": data}))
    rows = table(bare.run("%qianfan models"))
    assert (rows["ernie-5.1"]["listed"], len(rows)) == ("no", len(CARDS))


def test_list_is_asked_for_with_the_token(service, bare):
    service.script.append(listing("ernie-5.1"))
    bare.run("%qianfan models")
    (seen,) = service.requests
    assert (seen.method, seen.path, seen.headers["authorization"]) == (
        "GET",
        MODELS,
        "Bearer bce-v3/ALTAK-made/up",
    )


# --- what it lists works, and Tab offers it


def test_model_that_is_listed_is_asked_without_a_card(service, bare):
    service.script += [
        listing("brand-new"),
        json_answer({"choices": [{"message": {"content": "a"}}]}),
    ]
    shown = bare.run("%qianfan models", "%%qianfan_chat -m brand-new --no-stream\nhi")
    asked = json.loads(service.requests[-1].body)["model"]
    assert (shown, asked) == ("a\n", "brand-new")


def test_tab_offers_what_is_listed(service, bare):
    before = bare.complete("%%qianfan_chat -m bra")
    service.script.append(listing("brand-new", "brand-old"))
    bare.run("%qianfan models")
    assert (before, bare.complete("%%qianfan_chat -m bra")) == ([], ["brand-new", "brand-old"])


def test_tab_offers_a_name_once(service, bare):
    service.script.append(listing("ernie-5.1"))
    bare.run("%qianfan models")
    assert bare.complete("%%qianfan_chat -m ernie-5.1") == ["ernie-5.1"]


def test_tab_asks_no_service(service, bare):
    bare.complete("%%qianfan_chat -m ernie")
    assert service.requests == []


@pytest.mark.parametrize(
    ("line", "offered"), [("%qianfan mo", ["models"]), ("%qianfan models --f", ["--fresh"])]
)
def test_tab_offers_the_subcommand(bare, line, offered):
    assert bare.complete(line) == offered


# --- once a day


def test_list_is_asked_for_once(own, bare):
    bare.run("%qianfan models", "%qianfan models")
    assert lists(own) == 1


def test_fresh_asks_again(own, bare):
    bare.run("%qianfan models", "%qianfan models --fresh")
    assert lists(own) == 2


def test_list_is_kept_for_another_notebook(own, bare):
    bare.run("%qianfan models", "%reload_ext qianfan_magic", "%qianfan models")
    assert lists(own) == 1


PROCESS = """
from qianfan_magic import QianfanClient
with QianfanClient() as client:
    print(*client.models())
"""


def test_list_is_kept_for_another_process(own, bare):
    first = table(bare.run("%qianfan models"))
    ran = subprocess.run(
        [sys.executable, "-c", PROCESS], capture_output=True, text=True, check=True
    )
    assert (lists(own), set(ran.stdout.split()) <= set(first)) == (1, True)


def test_list_of_another_process_counts(own, bare):
    subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, check=True)
    rows = table(bare.run("%qianfan models"))
    assert (lists(own), rows["ernie-5.1"]["listed"]) == (1, "yes")


def test_fresh_list_takes_the_place_of_the_kept_one(service, bare):
    service.script += [listing("old"), listing("new")]
    bare.run("%qianfan models", "%qianfan models --fresh")
    rows = table(bare.run("%reload_ext qianfan_magic", "%qianfan models"))
    assert ("old" in rows, "new" in rows) == (False, True)


def test_list_is_kept_for_each_key(monkeypatch, service, bare):
    service.script += [listing("old"), listing("new")]
    bare.run("%qianfan models")
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-other/one")
    assert "new" in table(bare.run("%qianfan models"))


def test_list_is_kept_for_each_server(monkeypatch, service, bare):
    service.script.append(listing("old"))
    bare.run("%qianfan models")
    with RawServer() as other:
        other.script.append(listing("new"))
        monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", other.url)
        assert "new" in table(bare.run("%qianfan models"))


def test_disabled_cache_writes_nothing(monkeypatch, own, bare, tmp_path):
    monkeypatch.setenv("QIANFAN_DISABLE_CACHE", "true")
    bare.run("%qianfan models", "%qianfan models")
    assert (list(tmp_path.rglob("models-*")), lists(own)) == ([], 1)


def kept(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache").glob("models-*.json")
    return path


def test_file_of_the_list_names_no_key(own, bare, tmp_path):
    bare.run("%qianfan models")
    path = kept(tmp_path)
    assert own.authenticator.keys.bearer_token not in path.name + path.read_text(encoding="utf-8")


def test_nothing_else_is_left_in_the_cache(own, bare, tmp_path):
    bare.run("%qianfan models", "%qianfan models --fresh")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [kept(tmp_path).name]


now = time.time()
DAMAGED = {
    "empty": "",
    "half": '{"asked_at": 1',
    "list": "[]",
    "number": "5",
    "no time": '{"models": ["x"]}',
    "no models": f'{{"asked_at": {now}}}',
    "models a text": f'{{"asked_at": {now}, "models": "x"}}',
    "a number": f'{{"asked_at": {now}, "models": [5]}}',
    "time in words": '{"asked_at": "now", "models": ["x"]}',
    "endless": '{"asked_at": Infinity, "models": ["x"]}',
    "no time at all": '{"asked_at": NaN, "models": ["x"]}',
    "large": f'{{"asked_at": 1{"0" * 400}, "models": ["x"]}}',
    "deep": "[" * 100_000,
    "old": f'{{"asked_at": {now - A_DAY - 60}, "models": ["x"]}}',
    "of the future": f'{{"asked_at": {now + 3_600}, "models": ["x"]}}',
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_is_asked_for_anew(own, bare, tmp_path, text):
    bare.run("%qianfan models")
    kept(tmp_path).write_text(text, encoding="utf-8")
    rows = table(bare.run("%reload_ext qianfan_magic", "%qianfan models"))
    assert (lists(own), rows["ernie-5.1"]["listed"]) == (2, "yes")


def test_file_that_is_no_text_is_asked_for_anew(own, bare, tmp_path):
    bare.run("%qianfan models")
    kept(tmp_path).write_bytes(b"\xff\xfe\x00")
    bare.run("%reload_ext qianfan_magic", "%qianfan models")
    assert lists(own) == 2


def test_folder_in_the_place_of_the_file_is_passed_over(own, bare, tmp_path):
    bare.run("%qianfan models")
    path = kept(tmp_path)
    path.unlink()
    path.mkdir()
    rows = table(bare.run("%reload_ext qianfan_magic", "%qianfan models"))
    assert rows["ernie-5.1"]["listed"] == "yes"


def test_cache_that_cannot_be_written_is_passed_over(monkeypatch, own, bare, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QIANFAN_CACHE_DIR", str(tmp_path / "file"))
    assert table(bare.run("%qianfan models"))["ernie-5.1"]["listed"] == "yes"


class Clock:
    """A clock that a test moves, and a service that counts."""

    def __init__(self) -> None:
        self.now, self.asked = 1_000_000.0, 0

    def fetch(self) -> list[str]:
        self.asked += 1
        return [f"model-{self.asked}"]

    def list(self, path: Path | None) -> ModelList:
        return ModelList(self.fetch, path, lambda: self.now)


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize(
    ("seconds", "asked"),
    [(0, 1), (A_DAY - 1, 1), (A_DAY, 2), (-1, 2), (-A_DAY, 2), (10 * A_DAY, 2)],
)
def test_list_counts_for_a_day_of_a_clock_that_may_jump(tmp_path, on_disk, seconds, asked):
    clock = Clock()
    path = tmp_path / "deep" / "models.json" if on_disk else None
    one = clock.list(path)
    one.get()
    clock.now += seconds
    other = clock.list(path) if on_disk else one
    assert (other.get(), clock.asked) == ([f"model-{asked}"], asked)


def test_list_that_was_asked_for_after_a_jump_counts(tmp_path):
    clock = Clock()
    clock.list(tmp_path / "models.json").get()
    clock.now -= A_DAY
    for _ in range(3):
        clock.list(tmp_path / "models.json").get()
    assert clock.asked == 2


def test_empty_list_counts_too(tmp_path):
    asked: list[int] = []

    def fetch() -> list[str]:
        asked.append(1)
        return []

    for _ in range(3):
        ModelList(fetch, tmp_path / "models.json").get()
    assert len(asked) == 1


def test_failure_keeps_the_list_that_is_there(tmp_path):
    clock = Clock()
    one = clock.list(tmp_path / "models.json")
    one.get()

    def fail() -> list[str]:
        raise QianfanError("no")

    other = ModelList(fail, tmp_path / "models.json", lambda: clock.now)
    with pytest.raises(QianfanError):
        other.get(fresh=True)
    assert other.get() == ["model-1"]


# --- a note where the service cannot be asked

REFUSALS = {
    "refused": (Fault(status=401, error_code="invalid_iam_token", path=MODELS), "invalid_iam"),
    "limit": (Fault(status=429, error_code="rpm_rate_limit_exceeded", path=MODELS), "rpm_rate"),
    "trouble": (Fault(status=500, error_code="internal_error", path=MODELS), "internal_error"),
    "page": (Fault(status=502, body=b"<html>", path=MODELS), "502"),
    "no JSON": (Fault(body=b"hello", path=MODELS), "not Qianfan's"),
    "nothing": (Fault(body=b"", path=MODELS), "not Qianfan's"),
    "closed": (Fault(end="close", path=MODELS), "No connection"),
}
refusals = pytest.mark.parametrize(("fault", "words"), REFUSALS.values(), ids=REFUSALS)


@refusals
def test_failure_is_a_note(own, bare, fault, words):
    own.fail(fault)
    (note,) = notes(bare.run("%qianfan models"))
    assert (note.startswith("[The list of version 2 could not be requested"), words in note) == (
        True,
        True,
    )


@refusals
def test_table_is_there_though_the_service_fails(own, bare, fault, words):
    own.fail(fault)
    rows = table(bare.run("%qianfan models"))
    assert (len(rows), "listed" in rows["ernie-5.1"]) == (len(CARDS), False)


@refusals
def test_failure_is_not_kept(own, bare, fault, words):
    own.fail(fault)
    bare.run("%qianfan models")
    assert table(bare.run("%qianfan models"))["ernie-5.1"]["listed"] == "yes"


def test_server_that_is_not_there_is_a_note(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:1")
    (note,) = notes(bare.run("%qianfan models"))
    assert "No connection to the server" in note


def test_given_token_that_is_refused_is_not_shown(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-strange/0123456789abcdef")
    shown = bare.run("%qianfan models")
    assert ("invalid_iam_token" in shown, "strange" in shown) == (True, False)


def test_wrong_access_key_is_a_note(monkeypatch, own, bare):
    for name in ("AK", "SK", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", "ALTAKwrong")
    monkeypatch.setenv("QIANFAN_SECRET_KEY", "wrong-secret")
    (note,) = notes(bare.run("%qianfan models"))
    assert note.startswith("[The list of version 2 could not be requested")


@pytest.mark.parametrize("keys", [{}, {"QIANFAN_AK": "made-up", "QIANFAN_SK": "made-up-too"}])
def test_without_keys_of_version_2_a_note_says_what_is_needed(monkeypatch, bare, keys):
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    shown = bare.run("%qianfan models")
    (note,) = notes(shown)
    named = ["QIANFAN_BEARER_TOKEN" in note, "QIANFAN_ACCESS_KEY" in note]
    assert (named, len(table(shown)), "listed" in shown.splitlines()[0]) == (
        [True, True],
        len(CARDS),
        False,
    )


def test_note_stands_below_the_table_in_html(quiet):
    quiet.server.fail(Fault(status=500, error_code="internal_error", path=MODELS))
    (bundle,) = quiet.run("%qianfan models --fresh").bundles
    table_, _, below = bundle["text/html"].partition("</table>")
    assert ("could not be requested" in table_, "could not be requested" in below) == (False, True)


def test_access_keys_ask_with_a_fetched_token(monkeypatch, own, bare):
    for name in ("AK", "SK", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", own.authenticator.keys.access_key)
    monkeypatch.setenv("QIANFAN_SECRET_KEY", own.authenticator.keys.secret_key)
    assert table(bare.run("%qianfan models"))["ernie-5.1"]["listed"] == "yes"


def test_models_are_listed_by_the_client_too(own, bare):
    with QianfanClient(own.settings()) as client:
        assert client.models() == sorted(
            card.model or card.name for card in CARDS if card.version == 2
        )


def test_list_changes_no_conversation(notebook: Notebook):
    cell = "%%qianfan_chat -m ernie-5.1\nhi"
    notebook.run(cell, "%qianfan models", cell)
    assert len(bodies(notebook.server)[-1]["messages"]) == 3


def test_tab_offers_only_what_a_message_can_carry(service, bare):
    """A gateway may list half a character; a kernel could not answer with it at all."""
    service.script.append(listing("half-\ud83d", "half-whole"))
    bare.run("%qianfan models")
    assert bare.complete("%%qianfan_chat -m half") == ["half-whole"]


def test_silent_service_is_a_note(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_TIMEOUT", "0.2")
    own.fail(Fault(end="silence", path=MODELS))
    assert "did not answer in time" in bare.run("%qianfan models")
