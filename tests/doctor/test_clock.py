"""The doctor on this computer's clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from support.doctor import ADDRESSES, SIGNED, TOKEN
from support.raw_server import Answer

from qianfan_magic.doctor.clock import check_clock
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.doctor.servers import ProbeResult, Server


def clock(*offsets: float | None, signs: bool = False) -> Finding:
    """Check the clock against servers from which it differs by so many seconds."""
    results = [
        ProbeResult(Server("", f"http://{number}.example", ""), Finding("Server", "ok", ""), offset)
        for number, offset in enumerate(offsets)
    ]
    (finding,) = check_clock(results, signs=signs)
    return finding


def test_wrong_clock_fails_only_if_requests_are_signed():
    for offset, if_signed, otherwise in (
        (0, "ok", "ok"),
        (60, "ok", "ok"),
        (-60, "ok", "ok"),
        (61, "note", "note"),
        (-300, "note", "note"),
        (301, "failed", "note"),
        (-301, "failed", "note"),
        (-400_000, "failed", "note"),
    ):
        assert clock(offset, signs=True).state == if_signed, offset
        assert clock(offset).state == otherwise, offset


def test_largest_difference_is_reported():
    assert "90 s behind that of 1.example" in clock(0, -90, None, 70).message


def test_difference_is_in_readable_units():
    for offset, shown in (
        (0.4, "within 1 second"),
        (50, "within 50 seconds"),
        (-100, "100 s behind"),
        (7_199, "7,199 s ahead of"),
        (36_000, "10 hours ahead of"),
        (-864_000, "10 days behind"),
    ):
        assert shown in clock(offset).message


def dated(seconds: float) -> Answer:
    """Answer as a server whose clock is so many seconds ahead."""
    date = datetime.now(UTC) + timedelta(seconds=seconds)
    return Answer(headers={"Date": format_datetime(date, usegmt=True)})


def test_difference_comes_from_the_date_of_the_response(check, raw_server):
    for seconds, state, shown in (
        (0, "ok", "agrees with that of 127.0.0.1 within"),
        (36_000, "note", "10 hours behind that of 127.0.0.1"),
        (-36_000, "note", "10 hours ahead of that of 127.0.0.1"),
    ):
        raw_server.script.append(dated(seconds))
        finding = check(QIANFAN_BASE_URL=raw_server.url, **TOKEN).one("Clock", state)
        assert shown in finding.message


def test_access_keys_need_the_right_time(check, raw_server):
    raw_server.script += [dated(-3_600)] * 2
    raw_server.bearers.append(dated(-3_600))
    addresses = dict.fromkeys(ADDRESSES, raw_server.url)
    finding = check(**SIGNED, **addresses).one("Clock", "failed")
    assert finding.message.endswith("; a signature is valid for 300 s")


def test_response_without_a_valid_date_is_ignored(check, raw_server):
    for date in ("", "yesterday", "0", "Thu, 01 Jan 9999999 00:00:00 GMT"):
        raw_server.script.append(Answer(headers={"Date": date} if date else {}))
        assert check(QIANFAN_BASE_URL=raw_server.url, **TOKEN).of("Clock") == [], date
