"""`%qianfan models`: the table, the list of the service, and its cache for a day."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from support.notebook import LOAD_ANEW, Notebook, answer_in
from support.raw_server import Answer, RawServer, json_answer
from support.requests_seen import bodies

from qianfan_magic import QianfanClient, QianfanError
from qianfan_magic.api.catalogue.cards import package_cards
from qianfan_magic.api.http.model_list import A_DAY, ModelList
from qianfan_magic.embedded.faults import Fault
from qianfan_magic.embedded.server import EmbeddedServer

MODELS = "/v2/models"


def requests_for_the_list(server: EmbeddedServer) -> int:
    return sum(seen.path == MODELS for seen in server.seen)


def table(shown: str) -> dict[str, dict[str, str]]:
    """Read the tables by their columns; return their rows by model, each with its version."""
    read = {}
    for section in shown.split("\n\n"):
        if not section.startswith("Version"):
            continue
        heading, head, *lines = section.splitlines()
        names = re.findall(r"\S+", head)
        begins = [head.index(name) for name in names]
        ends = [*begins[1:], None]
        for line in lines:
            cells = [line[a:b].strip() for a, b in zip(begins, ends, strict=True)]
            row = {"API": heading[-1], **dict(zip(names, cells, strict=True))}
            read[row["model"]] = row
    return read


def notes(shown: str) -> list[str]:
    lines = [line for line in shown.splitlines() if line.startswith("[")]
    return [line for line in lines if not line.startswith("[A cell names a model with -m.")]


# --- the table


def test_table_has_a_row_for_each_card_with_the_living_first(notebook):
    rows = table(notebook.run("%qianfan models"))
    assert rows.keys() == {card.name for card in package_cards()}
    order = [
        (-int(row["API"]), bool(row.get("ended")), row["model"].lower()) for row in rows.values()
    ]
    assert order == sorted(order)
    assert {row["API"] for row in rows.values()} == {"1", "2"}


def test_row_describes_its_card(notebook):
    rows = table(notebook.run("%qianfan models"))
    for name, cells in {
        "Dolly-12B": {"kind": "chat", "needs": "-e", "characters": "4,800"},
        "ERNIE-4.0-8K": {"kind": "chat", "characters": "20,000", "tokens": "5,120", "can": "JSON"},
        "StarCoder": {"kind": "completion", "needs": "-e"},
        "ernie-5.0": {
            "kind": "chat",
            "tokens": "119,000",
            "can": "think, see, search, JSON",
            "listed": "yes",
        },
        "ernie-x1.1": {
            "kind": "chat",
            "tokens": "55,000",
            "can": "always thinks, JSON",
            "listed": "no",
            "ended": "2026-09-29, now ernie-5.0-thinking-latest",
        },
    }.items():
        row = {header: cell for header, cell in rows[name].items() if cell}
        assert row == {"API": row["API"], "model": name, **cells}


def test_model_of_a_cell_without_flags_is_marked(bare):
    bare.run("%qianfan demo")
    rows = table(bare.run("%qianfan models"))
    assert {name: row["default"] for name, row in rows.items() if row.get("default")} == {
        "ernie-5.1": "chat",
        "qwen3-coder-30b-a3b-instruct": "completion",
    }


def test_table_has_what_the_keys_reach_or_all(monkeypatch, bare, own):
    for name in ("AK", "SK"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    shown = bare.run("%qianfan models")
    assert {row["API"] for row in table(shown).values()} == {"2"}
    assert notes(shown) == ["[Version 1's models, for private deployments: %qianfan models --all.]"]
    everything = bare.run("%qianfan models --all")
    assert table(everything).keys() == {card.name for card in package_cards()}
    assert notes(everything) == []


def test_html_has_the_same_table_with_its_numbers_to_the_right(quiet):
    (bundle,) = quiet.run("%qianfan models").bundles
    rows = re.findall(r"<tr>(.*?)</tr>", bundle["text/html"])
    cells = [[unescape(c) for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]
    plain = table(bundle["text/plain"])
    assert [row for row in cells if row] == [list(row.values())[1:] for row in plain.values()]
    assert '<td style="text-align:right">4,800</td>' in bundle["text/html"]


def test_card_of_the_user_has_a_row(notebook):
    notebook.run('%config QianfanMagics.models = {"tutor": "ernie-5.1"}')
    row = table(notebook.run("%qianfan models"))["tutor"]
    assert (row["API"], row["can"], row["listed"]) == ("2", "think, search, JSON", "yes")


def test_name_of_a_users_card_is_no_html(quiet):
    quiet.run('%config QianfanMagics.models = {"<b>x\\u202e": "ernie-5.1"}')
    (bundle,) = quiet.run("%qianfan models").bundles
    quiet.run("%config QianfanMagics.models = {}")
    assert "&lt;b&gt;x" in bundle["text/html"]
    assert "<b>" not in bundle["text/html"]
    assert "\u202e" not in bundle["text/html"] + bundle["text/plain"]


# --- the list of the service


@pytest.fixture
def service(monkeypatch, bare, raw_server) -> RawServer:
    """Return a server whose list a test scripts, and set credentials of version 2."""
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-made/up")
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", raw_server.url)
    return raw_server


def listing(*names: Any, **more: Any) -> Answer:
    data = [{"id": name, "object": "model", "owned_by": "", "created": 0} for name in names]
    return json_answer({"object": "list", "data": data}, **more)


def test_list_is_requested_with_the_token(service, bare):
    service.script.append(listing("ernie-5.1"))
    bare.run("%qianfan models")
    (seen,) = service.requests
    assert (seen.method, seen.path) == ("GET", MODELS)
    assert seen.headers["authorization"] == "Bearer bce-v3/ALTAK-made/up"


def test_table_marks_what_is_listed_and_adds_models_without_a_card(service, bare):
    service.script.append(listing("brand-new", "ernie-5.1"))
    rows = table(bare.run("%qianfan models"))
    assert rows["ernie-5.1"]["listed"] == "yes"
    assert rows["ernie-5.0"]["listed"] == "no"
    new = {header: cell for header, cell in rows["brand-new"].items() if cell}
    assert new == {"API": "2", "model": "brand-new", "listed": "yes"}


def test_server_with_models_of_its_own_lists_them_alone(monkeypatch, service, bare):
    monkeypatch.delenv("QIANFAN_BEARER_TOKEN")  # this computer's needs no key
    names = ["smollm2-135m.gguf", "llama3.2:1b", "baidu/ERNIE-4.5-0.3B-PT"]
    service.script.append(listing(*names))
    assert table(bare.run("%qianfan models")).keys() == set(names)
    for name in names:
        service.script.append(json_answer({"choices": [{"message": {"content": f"I am {name}"}}]}))
        assert f"I am {name}" in bare.run(f"%%qianfan_chat -m {name} --no-stream\nhi"), name
        assert "authorization" not in service.requests[-1].headers, name


def test_cards_are_not_those_of_a_server_without_a_key_that_lists_nothing(
    monkeypatch, service, bare
):
    monkeypatch.delenv("QIANFAN_BEARER_TOKEN")
    for answer in (listing(), Answer(status=500)):
        service.script.append(answer)
        assert table(bare.run("%qianfan models")) == {}, answer


def test_list_of_a_server_without_a_key_is_requested_each_time(monkeypatch, service, bare):
    monkeypatch.delenv("QIANFAN_BEARER_TOKEN")
    for name in ("one", "two"):
        service.script.append(listing(name))
        assert table(bare.run("%qianfan models")).keys() == {name}


def test_name_that_no_model_has_is_ignored(service, bare):
    """A gateway may list anything."""
    odd = ["<script>x", "\u202eevil", "a\nb", "half-\ud83d", "\x1b[2J", "../x", " ", "-flag", "a b"]
    for name in odd:
        service.script.append(listing(name, "brand-new"))
        rows = table(bare.run("%qianfan models --fresh"))
        assert rows.keys() - {card.name for card in package_cards()} == {"brand-new"}, repr(name)


def test_list_without_names_lists_nothing(service, bare):
    lists = [[], None, 5, "ernie-5.1", {}, [5], [{"id": 5}], [{"id": ""}], [{}], [None]]
    for data in [*lists, [["ernie-5.1"]]]:
        service.script.append(json_answer({"object": "list", "data": data}))
        rows = table(bare.run("%qianfan models --fresh"))
        assert rows["ernie-5.1"]["listed"] == "no", data
        assert set(rows) == {card.name for card in package_cards() if card.version == 2}, data


def test_listed_model_without_a_card_can_be_asked(service, bare):
    answer = json_answer({"choices": [{"message": {"content": "a"}}]})
    service.script += [listing("brand-new"), answer]
    shown = bare.run("%qianfan models", "%%qianfan_chat -m brand-new --no-stream\nhi")
    assert answer_in(shown) == "a"
    assert json.loads(service.requests[-1].body)["model"] == "brand-new"


def test_tab_offers_each_listed_model_once_and_sends_nothing(service, bare):
    assert bare.complete("%%qianfan_chat -m bra") == []
    assert service.requests == []
    service.script.append(listing("brand-new", "brand-old", "brand-\ud83d", "ernie-5.1"))
    bare.run("%qianfan models")
    # The service may list a lone surrogate; with that, a kernel could not reply at all.
    assert bare.complete("%%qianfan_chat -m bra") == ["brand-new", "brand-old"]
    assert bare.complete("%%qianfan_chat -m ernie-5.1") == ["ernie-5.1"]
    assert len(service.requests) == 1


def test_tab_offers_the_subcommand_and_its_flag(bare):
    assert bare.complete("%qianfan mo") == ["models"]
    assert bare.complete("%qianfan models --f") == ["--fresh"]


def test_client_lists_the_models(own):
    with QianfanClient(own.settings()) as client:
        assert client.models() == sorted(
            card.name for card in package_cards() if card.version == 2 and card.ends is None
        )


def test_list_changes_no_conversation(notebook: Notebook):
    cell = "%%qianfan_chat -m ernie-5.1\nhi"
    notebook.run(cell, "%qianfan models", cell)
    assert len(bodies(notebook.server)[-1]["messages"]) == 3


# --- the cache


def test_list_is_requested_once_for_all_notebooks_unless_it_must_be_fresh(own, bare):
    for line, count in [
        ("%qianfan models", 1),
        ("%qianfan models", 1),
        (f"{LOAD_ANEW}\n%qianfan models", 1),
        ("%qianfan models --fresh", 2),
    ]:
        bare.run(line)
        assert requests_for_the_list(own) == count, line


PROCESS = """
from qianfan_magic import QianfanClient
with QianfanClient() as client:
    print(*client.models())
"""


def test_processes_share_the_list(own, bare):
    command = [sys.executable, "-c", PROCESS]
    subprocess.run(command, capture_output=True, check=True)
    rows = table(bare.run("%qianfan models"))
    assert rows["ernie-5.1"]["listed"] == "yes"
    assert requests_for_the_list(own) == 1
    bare.run("%qianfan models --fresh")
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ernie-5.1" in ran.stdout.split()
    assert requests_for_the_list(own) == 2


def test_fresh_list_replaces_the_cached_one(service, bare):
    service.script += [listing("old"), listing("new")]
    bare.run("%qianfan models", "%qianfan models --fresh")
    rows = table(bare.run(LOAD_ANEW, "%qianfan models"))
    assert "new" in rows
    assert "old" not in rows


def test_each_key_and_each_server_has_a_list_of_its_own(monkeypatch, service, bare):
    service.script += [listing("old"), listing("new")]
    bare.run("%qianfan models")
    monkeypatch.setenv("QIANFAN_BEARER_TOKEN", "bce-v3/ALTAK-other/one")
    assert "new" in table(bare.run("%qianfan models"))
    with RawServer() as other:
        other.script.append(listing("newest"))
        monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", other.url)
        assert "newest" in table(bare.run("%qianfan models"))


def test_disabled_cache_writes_nothing(monkeypatch, own, bare, tmp_path):
    monkeypatch.setenv("QIANFAN_DISABLE_CACHE", "true")
    bare.run("%qianfan models", "%qianfan models")
    assert list(tmp_path.rglob("models-*")) == []
    assert requests_for_the_list(own) == 1


def cache_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache").iterdir()
    assert path.match("models-*.json")
    return path


def test_cache_is_one_file_without_the_key(own, bare, tmp_path):
    bare.run("%qianfan models", "%qianfan models --fresh")
    path = cache_file(tmp_path)
    assert own.authenticator.keys.bearer_token not in path.name + path.read_text(encoding="utf-8")


def test_invalid_or_outdated_cache_file_is_replaced(own, bare, tmp_path):
    bare.run("%qianfan models")
    now = time.time()
    texts = [
        "",
        '{"asked_at": 1',
        "[]",
        "5",
        '{"models": ["x"]}',
        f'{{"asked_at": {now}}}',
        f'{{"asked_at": {now}, "models": "x"}}',
        f'{{"asked_at": {now}, "models": [5]}}',
        '{"asked_at": "now", "models": ["x"]}',
        '{"asked_at": Infinity, "models": ["x"]}',
        '{"asked_at": NaN, "models": ["x"]}',
        f'{{"asked_at": 1{"0" * 400}, "models": ["x"]}}',
        "[" * 100_000,
        f'{{"asked_at": {now - A_DAY - 60}, "models": ["x"]}}',
        f'{{"asked_at": {now + 3_600}, "models": ["x"]}}',
    ]
    for count, content in enumerate([*map(str.encode, texts), b"\xff\xfe\x00"], 2):
        cache_file(tmp_path).write_bytes(content)
        rows = table(bare.run(LOAD_ANEW, "%qianfan models"))
        assert rows["ernie-5.1"]["listed"] == "yes", content[:80]
        assert requests_for_the_list(own) == count, content[:80]


def test_cache_that_cannot_be_read_or_written_is_ignored(monkeypatch, own, bare, tmp_path):
    bare.run("%qianfan models")
    path = cache_file(tmp_path)
    path.unlink()
    path.mkdir()
    rows = table(bare.run(LOAD_ANEW, "%qianfan models"))
    assert rows["ernie-5.1"]["listed"] == "yes"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QIANFAN_CACHE_DIR", str(tmp_path / "file"))
    rows = table(bare.run(LOAD_ANEW, "%qianfan models"))
    assert rows["ernie-5.1"]["listed"] == "yes"


class Service:
    """A service that counts its requests, and a clock that the test sets."""

    def __init__(self) -> None:
        self.now, self.requests = 1_000_000.0, 0

    def fetch(self) -> list[str]:
        self.requests += 1
        return [f"model-{self.requests}"]

    def list(self, path: Path | None) -> ModelList:
        return ModelList(self.fetch, path, lambda: self.now)


def test_list_is_valid_for_a_day_of_a_clock_that_may_jump(tmp_path):
    cases = [(0, 1), (A_DAY - 1, 1), (A_DAY, 2), (-1, 2), (-A_DAY, 2), (10 * A_DAY, 2)]
    for number, (seconds, requests) in enumerate(cases):
        for path in (tmp_path / f"deep-{number}" / "models.json", None):
            fake = Service()
            first = fake.list(path)
            first.get()
            fake.now += seconds
            second = fake.list(path) if path else first
            assert second.get() == [f"model-{requests}"], (seconds, path)
            assert fake.requests == requests, (seconds, path)


def test_list_that_was_requested_after_a_jump_of_the_clock_is_cached(tmp_path):
    fake = Service()
    fake.list(tmp_path / "models.json").get()
    fake.now -= A_DAY
    for _ in range(3):
        fake.list(tmp_path / "models.json").get()
    assert fake.requests == 2


def test_empty_list_is_cached_too(tmp_path):
    requests: list[int] = []

    def fetch() -> list[str]:
        requests.append(1)
        return []

    for _ in range(3):
        ModelList(fetch, tmp_path / "models.json").get()
    assert len(requests) == 1


def test_failed_request_leaves_the_cached_list(tmp_path):
    fake = Service()
    fake.list(tmp_path / "models.json").get()

    def fail() -> list[str]:
        raise QianfanError("no")

    other = ModelList(fail, tmp_path / "models.json", lambda: fake.now)
    with pytest.raises(QianfanError):
        other.get(fresh=True)
    assert other.get() == ["model-1"]


# --- a note where the service does not list its models


def test_failure_is_a_note_below_the_cards_and_is_not_cached(own, bare, tmp_path):
    cases = [
        (Fault(status=401, error_code="invalid_iam_token", path=MODELS), "invalid_iam"),
        (Fault(status=429, error_code="rpm_rate_limit_exceeded", path=MODELS), "rpm_rate"),
        (Fault(status=500, error_code="internal_error", path=MODELS), "internal_error"),
        (Fault(status=502, body=b"<html>", path=MODELS), "502"),
        (Fault(body=b"hello", path=MODELS), "not Qianfan's"),
        (Fault(body=b"", path=MODELS), "not Qianfan's"),
        (Fault(end="close", path=MODELS), "No connection"),
    ]
    for fault, words in cases:
        own.fail(fault)
        shown = bare.run(LOAD_ANEW, "%qianfan models")
        (note,) = notes(shown)
        assert note.startswith("[The list of version 2 could not be requested"), fault
        assert words in note, fault
        rows = table(shown)
        assert len(rows) == len(package_cards()), fault
        assert "listed" not in rows["ernie-5.1"], fault
        assert table(bare.run("%qianfan models"))["ernie-5.1"]["listed"] == "yes", fault
        shutil.rmtree(tmp_path / "cache")


def test_server_that_does_not_answer_is_a_note(monkeypatch, own, bare):
    monkeypatch.setenv("QIANFAN_LLM_API_RETRY_TIMEOUT", "0.2")
    own.fail(Fault(end="silence", path=MODELS))
    assert "did not answer in time" in bare.run("%qianfan models")
    monkeypatch.setenv("QIANFAN_CONSOLE_API_BASE_URL", "http://127.0.0.1:1")
    (note,) = notes(bare.run("%qianfan models"))
    assert "No connection to the server" in note


def test_token_that_is_refused_is_not_shown(monkeypatch, own, bare):
    monkeypatch.delenv("QIANFAN_BEARER_TOKEN")
    monkeypatch.setenv("QIANFAN_API_KEY", "bce-v3/ALTAK-strange/0123456789abcdef")
    shown = bare.run("%qianfan models")
    assert "invalid_iam_token" in shown
    assert "strange" not in shown


def test_access_keys_fetch_a_token_for_the_list(monkeypatch, own, bare):
    for name in ("AK", "SK", "API_KEY", "BEARER_TOKEN"):
        monkeypatch.delenv(f"QIANFAN_{name}")
    monkeypatch.setenv("QIANFAN_ACCESS_KEY", own.authenticator.keys.access_key)
    monkeypatch.setenv("QIANFAN_SECRET_KEY", "wrong-secret")
    (note,) = notes(bare.run("%qianfan models"))
    assert note.startswith("[The list of version 2 could not be requested")
    monkeypatch.setenv("QIANFAN_SECRET_KEY", own.authenticator.keys.secret_key)
    assert table(bare.run("%qianfan models"))["ernie-5.1"]["listed"] == "yes"


def test_note_names_the_missing_credentials_of_version_2(monkeypatch, bare):
    for variables, version in (
        ({}, 2),
        ({"QIANFAN_AK": "made-up", "QIANFAN_SK": "made-up-too"}, 1),
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        shown = bare.run("%qianfan models")
        note = notes(shown)[-1]
        assert "QIANFAN_API_KEY" in note, variables
        assert "QIANFAN_ACCESS_KEY" in note, variables
        assert {row["API"] for row in table(shown).values()} == {str(version)}, variables
        assert "listed" not in shown.splitlines()[0], variables


def test_note_stands_below_the_table_in_html(quiet):
    quiet.server.fail(Fault(status=500, error_code="internal_error", path=MODELS))
    (bundle,) = quiet.run("%qianfan models --fresh").bundles
    above, _, below = bundle["text/html"].partition("</table>")
    assert "could not be requested" not in above
    assert "could not be requested" in below
