"""Folders and files of the cache that others own or may write to, and links: not used."""

from __future__ import annotations

import json
import os
import time
import warnings
from pathlib import Path

import pytest
from support.raw_server import json_answer

from qianfan_magic.api import client as client_module
from qianfan_magic.api.batch.answers import AnswerStore
from qianfan_magic.api.http.private_files import why_refused
from qianfan_magic.errors import QianfanError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")

HELLO = [{"role": "user", "content": "hi"}]
KEYS = {"ak": "AKEXAMPLE0123456789", "sk": "SKEXAMPLE0123456789"}


def folder(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def foreign_folder(path: Path) -> Path:
    """Return a folder of another user: root can give one away, and all others see root's."""
    if os.geteuid() != 0:
        return Path("/usr")
    os.chown(folder(path, 0o700), os.geteuid() + 1, -1)
    return path


@pytest.fixture
def refused(tmp_path):
    """Folders by a word of the reason for which they are refused."""
    link = tmp_path / "link"
    link.symlink_to(folder(tmp_path / "own", 0o700))
    return {
        "mode 770": folder(tmp_path / "group", 0o770),
        "mode 702": folder(tmp_path / "others", 0o702),
        "mode 1777": folder(tmp_path / "sticky", 0o1777),
        "symbolic link": link,
        "another user": foreign_folder(tmp_path / "foreign"),
    }


def test_folder_that_others_own_or_write_to_and_a_link_are_refused(refused, tmp_path):
    for reason, path in refused.items():
        assert reason in why_refused(path), reason
    for mode in (0o700, 0o755):  # the files in it are private
        assert why_refused(folder(tmp_path / f"{mode:o}", mode)) == ""
    assert why_refused(tmp_path / "missing") == ""


def test_refused_folder_is_not_used_and_the_user_is_told_once(
    refused, raw_server, make_client, monkeypatch
):
    for reason, path in refused.items():
        monkeypatch.setattr(client_module, "_warned", set())
        before = list(path.iterdir())
        raw_server.script += [json_answer({"result": "hello"})] * 2
        raw_server.token_requests.clear()
        with pytest.warns(UserWarning, match=reason):
            client = make_client(**KEYS, cache_dir=path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_client(**KEYS, cache_dir=path)
        assert [client.chat(HELLO).text for _ in range(2)] == ["hello"] * 2, reason
        assert len(raw_server.token_requests) == 1, reason
        assert client.cache_folder is None, reason
        assert list(path.iterdir()) == before, reason


def test_answers_are_not_stored_in_a_refused_folder(refused):
    for reason, path in refused.items():
        with pytest.raises(QianfanError, match=reason):
            AnswerStore(path)


def test_token_is_not_read_from_a_link_a_pipe_or_a_file_that_others_write_to(
    raw_server, make_client, tmp_path
):
    raw_server.script += [json_answer({"result": "hello"})] * 5
    make_client(**KEYS).chat(HELLO)
    (path,) = (tmp_path / "cache").glob("token-*.json")
    now = time.time()
    planted = {"access_token": "24.planted", "obtained_at": now, "expires_at": now + 2592000}
    (tmp_path / "planted.json").write_text(json.dumps(planted))

    def writable() -> None:
        path.write_text(json.dumps(planted))
        path.chmod(0o602)

    for plant in (
        lambda: path.symlink_to(tmp_path / "planted.json"),
        lambda: os.mkfifo(path),
        writable,
    ):
        path.unlink()
        plant()
        raw_server.token_requests.clear()
        make_client(**KEYS).chat(HELLO)
        assert len(raw_server.token_requests) == 1
        assert path.is_file()
        assert not path.is_symlink()
        assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "planted.json").read_text()) == planted
