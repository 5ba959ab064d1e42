"""Invalid input from users, and from servers that are broken, foreign or hostile."""

from __future__ import annotations

import gzip
import json
import ssl
from itertools import product
from typing import Any

import pytest
import trustme
from support.raw_server import Answer, RawServer, event, json_answer, stream_answer

from qianfan_magic import ParameterError, QianfanError, StreamError, TransportError

HELLO = [{"role": "user", "content": "hi"}]
OK = json_answer({"result": "hello"})
LAST = {"result": "", "is_end": True}
#: One, two, three and four bytes, a surrogate pair, a joined family, both directions.
TEXT = "aé中文🙂👨‍👩‍👧אב\u2028\x85\ufeff"


def html(status: int = 200) -> Answer:
    page = b"<!DOCTYPE html><title>Log in</title>"
    return Answer(status=status, headers={"Content-Type": "text/html"}, pieces=[page])


def text_of(client, **options) -> str:
    return "".join(chunk.text for chunk in client.stream_chat(HELLO, **options))


def failure(call, name: object, kind: type[Exception] = QianfanError) -> Any:
    """Return the error that a call raises; fail with the name of the case if it raises none."""
    try:
        found = call()
    except kind as error:
        return error
    except Exception as error:
        raise AssertionError(f"{name}: {error!r}") from error
    return pytest.fail(f"{name}: {found!r:.200}")


# --- input of users


def test_characters_of_a_prompt_arrive_unchanged(raw_server, make_client):
    client = make_client()
    megabyte = "中文 and 🙂 " * 40_000
    for prompt in (megabyte, "a\0b", "\x1b[31m", TEXT, '"\\\r\n{}', "\ufffe\uffff"):
        raw_server.script += [OK]
        client.complete(prompt)
        received = json.loads(raw_server.requests[-1].body)["prompt"]
        assert received == prompt, ascii(prompt[:20])


HALF = "cut \ud83d"


def test_text_with_half_a_character_is_refused(raw_server, make_client):
    client = make_client()
    with pytest.raises(ParameterError, match="half of a character"):
        client.complete(HALF)
    with pytest.raises(ParameterError, match="half of a character"):
        client.chat([{"role": "user", "content": HALF}])
    for options in ({"stop": [HALF]}, {"user_id": HALF}, {"system": HALF}):
        failure(lambda options=options: client.chat(HELLO, **options), options, ParameterError)
    assert raw_server.requests == []


def test_values_of_the_wrong_type_are_refused(raw_server, make_client):
    client = make_client()
    for prompt in ("", " \n", None, b"bytes", 5, ["hi"]):
        failure(lambda prompt=prompt: client.complete(prompt), prompt, ParameterError)
    no_role, no_content = [{"content": "hi"}], [{"role": "user"}]
    for messages in (None, "hi", {}, [None], ["hi"], [{}], no_role, no_content):
        failure(lambda messages=messages: client.chat(messages), messages, ParameterError)
    for number in (float("nan"), float("inf"), "0.5", True):
        failure(lambda n=number: client.chat(HELLO, temperature=n), number, ParameterError)
    assert raw_server.requests == []


# --- text of servers


def test_characters_split_between_pieces_arrive_whole(raw_server, make_client):
    client = make_client()
    sent = event({"result": TEXT}) + event(LAST)
    raw_server.script += [stream_answer(*(bytes([byte]) for byte in sent), end="keep")]
    assert text_of(client) == TEXT
    sent = event({"result": "é中🙂"}) + event(LAST)
    for cut in range(1, len(sent)):
        raw_server.script += [stream_answer(sent[:cut], sent[cut:], end="keep")]
        assert text_of(client) == "é中🙂", cut


def test_character_split_between_events_arrives_whole(raw_server, make_client):
    halves = [rb'data: {"result": "a\ud83d"}', rb'data: {"result": "\ude42", "is_end": true}']
    raw_server.script += [stream_answer(*(half + b"\n\n" for half in halves))]
    assert text_of(make_client()) == "a🙂"


def test_text_is_utf_8_whatever_the_header_says(raw_server, make_client):
    client = make_client()
    for charset in ("", "; charset=ISO-8859-1", ";charset=gbk"):
        headers = {"Content-Type": "text/event-stream" + charset}
        raw_server.script += [stream_answer({"result": TEXT}, LAST, headers=headers)]
        assert text_of(client) == TEXT, charset


def test_bytes_that_are_not_utf_8_become_replacement_characters(raw_server, make_client):
    raw_server.script += [stream_answer(b'data: {"result": "a\xffb"}\n\n', LAST)]
    assert text_of(make_client()) == "a\ufffdb"


def test_text_of_ten_megabytes_arrives_whole(raw_server, make_client):
    text = "0123456789" * 1_000_000
    raw_server.script += [stream_answer({"result": text}, LAST), json_answer({"result": text})]
    client = make_client()
    assert text_of(client) == text
    assert client.chat(HELLO).text == text


def test_endless_event_is_aborted(raw_server, make_client, monkeypatch):
    monkeypatch.setattr("qianfan_magic.api.wire.sse.LARGEST_EVENT", 1000)
    raw_server.script += [stream_answer(b"data: " + b"x" * 2000, end="silent")]
    with pytest.raises(StreamError, match="does not end"):
        text_of(make_client())
    assert raw_server.hung_up.wait(10)


# --- answers that violate the protocol

FOREIGN = {
    "HTML": html(),
    "nothing": json_answer(None, headers={"Content-Length": 0}),
    "half a JSON": Answer(headers={"Content-Type": "application/json"}, pieces=[b'{"resul']),
    "a JSON cut by the connection": json_answer({"result": "x"}, headers={"Content-Length": 99}),
    "null": json_answer(None),
    "a list": json_answer([{"result": "x"}]),
    "a text": json_answer("result"),
    "a number": json_answer(5),
    "deep JSON": Answer(pieces=[b"[" * 200_000 + b"]" * 200_000]),
    "deep JSON in an object": Answer(pieces=[b'{"result": ' * 200_000 + b"1" + b"}" * 200_000]),
    "a number of 5,000 digits": Answer(pieces=[b'{"result": ' + b"9" * 5_000 + b"}"]),
    "no result": json_answer({"object": "chat.completion"}),
    "a result that is not text": json_answer({"result": {"text": "x"}}),
    "invalid UTF-16": Answer(pieces=[b"\xff\xfe\x00\xd8\x00"]),
    "an odd error code": json_answer({"error_code": "--5", "error_msg": "x"}),
    "a list for an error code": json_answer({"error_code": [1], "error_msg": None}),
    "invalid gzip": json_answer({"result": "x"}, headers={"Content-Encoding": "gzip"}),
    "not HTTP": Answer(status=0, pieces=[b"220 mail.example ESMTP\r\n"]),
    "headers without end": Answer(status=0, pieces=[b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200]),
    "two lengths": json_answer({"result": "x"}, headers={"Content-Length": "1, 2"}),
    "chunks without a size": Answer(
        headers={"Transfer-Encoding": "chunked"}, pieces=[b"zz\r\n"], framing="close"
    ),
    "a redirect to nowhere": Answer(status=302, headers={"Location": "http://["}),
    "a redirect in another encoding": Answer(status=302, headers={"Location": "http://x/\xff"}),
    "a redirect without address": Answer(status=302),
    "a date out of range": Answer(
        status=503, headers={"Retry-After": "Mon, 01 Jan 2001 00:00:00 +99999999999999"}
    ),
}


def test_invalid_answer_is_an_error_of_the_package(raw_server, make_client):
    client = make_client(retry_count=1)
    for name, answer in FOREIGN.items():
        raw_server.script += [answer] * 2
        failure(lambda: client.chat(HELLO), name)
        failure(lambda: text_of(client), f"{name}, streamed")
        assert not raw_server.script, name
        raw_server.tokens += [answer]
        with_token = make_client(ak="a" * 9, sk="b" * 9, retry_count=1)
        failure(lambda client=with_token: client.chat(HELLO), f"{name}, for a token")
        assert not raw_server.tokens, name


EVENTS = {
    "not JSON": b"data: hello\n\n",
    "half a JSON": b'data: {"result": "x\n\n',
    "a list": b"data: []\n\n",
    "null": b"data: null\n\n",
    "no result": b"data: {}\n\n",
    "more than JSON": b"data: {} {}\n\n",
    "done": b"data: [DONE]\n\n",
    "deep JSON": b"data: " + b"[" * 200_000 + b"\n\n",
    "HTML": b"<html>\n\n",
    "JSON that is cut": b'{"error_code": 1',
    "an odd error code": b'{"error_code": "--5"}\n\n',
}


def test_invalid_event_is_an_error_with_the_text_so_far(raw_server, make_client):
    client = make_client()
    for name, sent in EVENTS.items():
        raw_server.script += [stream_answer({"result": "he"}, sent)]
        assert failure(lambda: text_of(client), name).partial == "he", name


def test_stream_that_mixes_two_answers_is_an_error_with_the_text_so_far(raw_server, make_client):
    def mixed(shape):
        return stream_answer(*(shape(id_, text) for id_, text in zip("aaba", "he l", strict=True)))

    v1, v2 = make_client(), make_client(bearer_token="bce-v3/ALTAK-x/0123456789")
    raw_server.script += [mixed(lambda id_, text: {"id": id_, "result": text})]
    raw_server.script += [
        mixed(lambda id_, text: {"id": id_, "choices": [{"delta": {"content": text}}]})
    ]
    for client, service in ((v1, {"endpoint": "ep"}), (v2, {"model": "ernie-5.1"})):
        error = failure(lambda c=client, s=service: list(c.stream_chat(HELLO, **s)), service)
        assert "mixes two answers" in error.message, service
        assert error.partial == "he ", service


def test_html_is_reported_with_its_status(raw_server, make_client):
    client = make_client()
    raw_server.script += [html()]
    with pytest.raises(TransportError, match=r"not Qianfan's .*text/html"):
        client.chat(HELLO)
    for status in (401, 403, 404):
        raw_server.script += [html(status)]
        with pytest.raises(TransportError, match=str(status)):
            client.chat(HELLO)


def test_deep_json_beside_the_answer_is_ignored(raw_server, make_client):
    deep = b"[" * 500 + b"]" * 500
    raw_server.script += [Answer(pieces=[b'{"result": "hello", "more": ' + deep + b"}"])]
    assert make_client().chat(HELLO).text == "hello"


def test_answer_needs_no_content_type(raw_server, make_client):
    raw_server.script += [Answer(pieces=[b'{"result": "hello"}'])]
    client = make_client()
    assert client.chat(HELLO).text == "hello"
    raw_server.script += [Answer(pieces=[event({"result": "hello"}), event(LAST)])]
    assert text_of(client) == "hello"


def test_spelling_of_the_content_type_is_ignored(raw_server, make_client):
    client = make_client()
    for kind in ("TEXT/EVENT-STREAM", "text/event-stream ; charset=utf-8"):
        headers = {"Content-Type": kind}
        raw_server.script += [stream_answer({"result": "hello"}, LAST, headers=headers)]
        assert text_of(client) == "hello", kind


def test_white_space_around_an_event_is_ignored(raw_server, make_client):
    client = make_client()
    for form in ("data:%s\n\n", "data:   %s \t\n\n", "data: %s\r\n\r\n", "data: %s\r\r"):
        sent = (form % '{"result": "hello", "is_end": true}').encode()
        raw_server.script += [stream_answer({"result": ""}, sent)]
        assert text_of(client) == "hello", form


def test_compressed_answer_is_read(raw_server, make_client):
    gzipped = {"Content-Encoding": "gzip"}
    answer = gzip.compress(b'{"result": "hello"}')
    stream = gzip.compress(event({"result": "hello"}) + event(LAST))
    raw_server.script += [
        Answer(headers=gzipped, pieces=[answer]),
        stream_answer(*(bytes([byte]) for byte in stream), headers=gzipped),
    ]
    client = make_client()
    assert client.chat(HELLO).text == "hello"
    assert text_of(client) == "hello"


def test_answer_that_unpacks_to_very_much_is_aborted(raw_server, make_client):
    """A few kilobytes, compressed twice; urllib3 before 2.6 unpacks them whole."""
    bomb = gzip.compress(gzip.compress(b" " * 100_000_000, 1))
    assert len(bomb) < 20_000
    client = make_client(retry_count=1)
    for kind, problem in (
        ("application/json", "larger than"),
        ("text/event-stream", "does not end"),
    ):
        headers = {"Content-Type": kind, "Content-Encoding": "gzip, gzip"}
        raw_server.script += [Answer(headers=headers, pieces=[bomb])]
        error = failure(lambda: list(client.stream_chat(HELLO)), kind)
        assert problem in error.message, kind


def test_message_of_an_error_is_printable_and_short(raw_server, make_client):
    client = make_client()
    for sent in ("\x1b[2J\u202eabc\n\0", "x" * 10_000_000):
        raw_server.script += [json_answer({"error_code": 3, "error_msg": sent})]
        message = str(failure(lambda: client.chat(HELLO), sent[:20]))
        assert message.replace("\n", "").isprintable()
        assert len(message) < 1000


def test_interim_response_closes_its_connection(raw_server, make_client):
    """Else the answer to this request, which follows, would be taken for that to the next."""
    early = Answer(status=0, pieces=[b"HTTP/1.1 103 Early Hints\r\n\r\n"], end="keep")
    raw_server.script += [early, json_answer({"result": "hello"})]
    client = make_client()
    with pytest.raises(TransportError, match="HTTP 103"):
        client.chat(HELLO)
    assert client.chat(HELLO).text == "hello"
    assert len(raw_server.connections) == 2


# --- redirects


@pytest.fixture
def elsewhere():
    with RawServer() as server:
        yield server


def test_redirect_is_not_followed_and_its_host_is_named(raw_server, make_client, elsewhere):
    services = [
        (make_client(), {"endpoint": "ep"}),
        (make_client(bearer_token="bce-v3/ALTAK-x/0123456789"), {"model": "ernie-5.1"}),
    ]
    methods, hosts = ("chat", "stream_chat"), (elsewhere.url, raw_server.url, "")
    statuses = (301, 302, 303, 307, 308)
    for status, method, host, (client, service) in product(statuses, methods, hosts, services):
        location = {"Location": f"{host}/chat?access_token=24.abc"}
        raw_server.script += [Answer(status=status, headers=location)]
        named = host.removeprefix("http://") or "another address"
        with pytest.raises(TransportError, match=f"redirects to {named}, which is not followed"):
            pytest.fail(f"{status}: {list(getattr(client, method)(HELLO, **service))}")
    assert elsewhere.requests == []
    assert not raw_server.script


def test_redirect_of_a_request_for_a_token_is_not_followed(raw_server, make_client, elsewhere):
    redirect = Answer(status=307, headers={"Location": elsewhere.url + "/oauth/2.0/token"})
    raw_server.tokens += [redirect]
    raw_server.bearers += [redirect]
    keys = {"access_key": "a" * 9, "secret_key": "b" * 9}
    for client, service in (
        (make_client(ak="a" * 9, sk="b" * 9), {"endpoint": "ep"}),
        (make_client(**keys), {"model": "ernie-5.1"}),
    ):
        with pytest.raises(TransportError, match="redirect"):
            client.chat(HELLO, **service)
    assert elsewhere.token_requests == elsewhere.bearer_requests == elsewhere.requests == []


def test_redirect_is_reported_though_its_body_does_not_come(raw_server, make_client):
    headers = {"Location": "http://qianfan.invalid/", "Content-Length": 99}
    raw_server.script += [Answer(status=302, headers=headers, end="silent")]
    with pytest.raises(TransportError, match="redirect"):
        make_client().chat(HELLO, timeout=0.1, retries=1)


# --- certificates


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


def tls_server(authority, name: str) -> RawServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server = RawServer(context)
    server.script += [OK] * 3
    return server


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))


def test_matching_certificate_is_accepted(authority, make_client, trusted):
    with tls_server(authority, "127.0.0.1") as server:
        assert make_client(base_url=server.url).chat(HELLO).text == "hello"


def test_certificate_of_another_host_is_refused(authority, make_client, trusted):
    for name in ("qianfan.example", "127.0.0.2"):
        with tls_server(authority, name) as server:
            with pytest.raises(TransportError, match="certificate"):
                make_client(base_url=server.url).chat(HELLO)
            assert server.requests == [], name


def test_certificate_of_an_unknown_authority_is_refused_at_once(authority, make_client):
    with tls_server(authority, "127.0.0.1") as server:
        with pytest.raises(TransportError, match="certificate"):
            make_client(base_url=server.url, retry_count=3).chat(HELLO)
        assert server.requests == []
        assert len(server.connections) == 1


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificates_are_not_checked_if_the_settings_say_so(authority, make_client):
    with tls_server(authority, "qianfan.example") as server:
        client = make_client(base_url=server.url, ssl_verification=False)
        assert client.chat(HELLO).text == "hello"


def test_missing_file_of_certificates_is_named(authority, make_client, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with (
        tls_server(authority, "127.0.0.1") as server,
        pytest.raises(TransportError, match="certificates"),
    ):
        make_client(base_url=server.url).chat(HELLO)


def test_impossible_address_or_proxy_is_an_error_of_the_package(raw_server, make_client):
    no_tls = raw_server.url.replace("http:", "https:")
    failure(lambda: make_client(base_url=no_tls).chat(HELLO), "no TLS", TransportError)
    long = "http://" + "a" * 70 + ".invalid"
    for address in ("http://127.0.0.1:99999", "http://a..b", long, "http://*"):
        failure(lambda url=address: make_client(base_url=url).chat(HELLO), address)
    for proxy in ("nonsense", "ftp://127.0.0.1:1", "http://", "socks5://x:1"):
        failure(lambda proxy=proxy: make_client(proxy=proxy).chat(HELLO), proxy)
