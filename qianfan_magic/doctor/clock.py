"""Check this computer's clock against those of the servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from qianfan_magic.api.wire.bce_signature import SIGNATURE_SECONDS
from qianfan_magic.doctor.finding import Finding
from qianfan_magic.doctor.servers import ProbeResult

__all__ = ["TOLERATED_OFFSET", "check_clock"]

#: Seconds by which the clocks may differ without a note.
TOLERATED_OFFSET = 60
_HOUR, _DAY = 3_600, 86_400


def check_clock(results: Sequence[ProbeResult], *, signs: bool) -> Iterator[Finding]:
    """Compare this computer's clock with the server's whose clock differs most.

    Parameters
    ----------
    results
        The results of `probe_servers`.
    signs
        Whether requests are signed: a server refuses a signature that is too old or comes from
        the future, so that a wrong clock is a failure.
    """
    offsets = [(r.clock_offset, r.server) for r in results if r.clock_offset is not None]
    if not offsets:
        return
    offset, server = max(offsets, key=lambda pair: abs(pair[0]))
    host = urlsplit(server.base_url).hostname
    if abs(offset) <= TOLERATED_OFFSET:
        seconds = "1 second" if abs(offset) <= 1 else f"{abs(offset):.0f} seconds"
        yield Finding("Clock", "ok", f"agrees with that of {host} within {seconds}")
        return
    side = "ahead of" if offset > 0 else "behind"
    message = f"This computer's clock is {_duration(abs(offset))} {side} that of {host}"
    fails = signs and abs(offset) > SIGNATURE_SECONDS
    if fails:
        message += f"; a signature is valid for {SIGNATURE_SECONDS} s"
    hint = "Set the clock, or have it set from the network: timedatectl set-ntp true on Linux."
    yield Finding("Clock", "failed" if fails else "note", message, hint)


def _duration(seconds: float) -> str:
    """Format a duration in seconds, hours or days, always with at least two of them."""
    if seconds < 2 * _HOUR:
        return f"{seconds:,.0f} s"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:,.0f} hours"
    return f"{seconds / _DAY:,.0f} days"
