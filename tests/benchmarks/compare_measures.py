"""What the comparison measures without a browser, each peer in processes of its own."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bench_iopub
import bench_load_ext
import bench_processes
from compare_peers import BARE, OURS, SDK, Asked, Peer, asking, environment
from compare_server import STREAMS
from serving import Stream, median

ROUNDS, IMPORTS = 5, 3
FIRST = Stream("prose", 10, 20)
FAST = Stream("prose", 5_000, 0)
LONG = Stream("prose", 100_000, 0)
SHOWN = Stream("prose", 2_000, 100)
#: Seconds for a long answer, and for one of the recorded streams.
LONGEST, SOON = 180.0, 5.0
SDK_CHILD = """
import sys, qianfan
qianfan.disable_log()
chat = qianfan.ChatCompletion(ak="AKEXAMPLE0123456789", sk="SKEXAMPLE0123456789", endpoint="ep")
print("ready", flush=True)
sys.stdin.readline()
chat.do(messages=[{"role": "user", "content": "hi"}])
"""


@dataclass
class Field:
    """The peers with their environments, a server that answers them, and notes on the figures."""

    peers: Sequence[Peer]
    folder: Path
    url: str
    notes: dict[str, list[str]] = field(default_factory=dict)

    @contextmanager
    def asking(self, peer: Peer) -> Iterator[Asked]:
        with tempfile.TemporaryDirectory() as scratch:
            variables = environment(self.url, Path(scratch))
            with asking(peer, peer.python(self.folder), variables) as asked:
                yield asked

    def note(self, peer: Peer, text: str) -> None:
        self.notes.setdefault(peer.name, []).append(text)


#: The cells of a column of the table, by the names of the peers.
Column = dict[str, str]


def number(value: float) -> str:
    return f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


def each(field: Field, measure: Callable[[Peer], str]) -> Column:
    """Measure one peer after the other; of one that fails, say how."""
    column = {}
    for peer in field.peers:
        try:
            column[peer.name] = measure(peer)
        except Exception as failure:  # noqa: BLE001  whatever a peer does is what is seen
            column[peer.name] = "fails"
            field.note(peer, f"It fails: {type(failure).__name__}: {failure}"[:300])
    return column


def imports(field: Field) -> Column:
    """Milliseconds of what a notebook runs first, in fresh processes with IPython."""
    times: dict[str, list[float]] = {peer.name: [] for peer in field.peers}
    with tempfile.TemporaryDirectory() as bytecode:
        for turn in range(IMPORTS + 1):
            for peer in field.peers:
                magic, _, module = peer.load.partition("%load_ext ")
                load = magic or f'shell.run_line_magic("load_ext", {module!r})'
                python = peer.python(field.folder)
                took = bench_load_ext.measure(load, bytecode, python=python, first="IPython")
                if turn:  # the first one compiles
                    times[peer.name].append(took)
    return {name: f"{number(median(took))} ms" for name, took in times.items()}


def rounds(field: Field, stream: Stream) -> dict[str, list[dict[str, Any]]]:
    """Let the baseline and the peers take turns in answering the same question."""
    peers = [BARE, *field.peers]
    with ExitStack() as stack:
        asked = [stack.enter_context(field.asking(peer)) for peer in peers]
        turns = [[each.ask(stream.endpoint) for each in asked] for _ in range(ROUNDS + 1)][1:]
    return dict(zip((peer.name for peer in peers), zip(*turns, strict=True), strict=True))


def first(field: Field) -> Column:
    """Milliseconds from the question to the first text of an answer of half a second."""
    seen = rounds(field, FIRST)

    def took(peer: Peer) -> str:
        told = "" if peer.streams else " (no streaming)"
        return f"{number(median(answer['first'] * 1e3 for answer in seen[peer.name]))} ms{told}"

    return each(field, took)


def chunks(field: Field) -> Column:
    """Chunks a second of CPU, and the median of each round's ratio to the baseline.

    Of CPU, because the server and the peers take turns on the same cores.
    """
    seen = rounds(field, FAST)
    bare = [answer["cpu"] for answer in seen[BARE.name]]

    def pace(peer: Peer) -> str:
        if not peer.streams:
            return "none: no streaming"
        if failed := [answer["error"] for answer in seen[peer.name] if answer["error"]]:
            raise RuntimeError(failed[0])
        took = [answer["cpu"] for answer in seen[peer.name]]
        ratio = median(b / t for b, t in zip(bare, took, strict=True))
        return f"{number(FAST.chunks / median(took))} ({ratio:.2f})"

    return each(field, pace)


def memory(field: Field) -> Column:
    """Megabytes of memory at most, more than before the answer."""

    def more(peer: Peer) -> str:
        with field.asking(peer) as asked:
            asked.ask(FIRST.endpoint)  # what it imports and keeps for any answer
            seen = asked.ask(LONG.endpoint, LONGEST)
        return seen["error"] or f"{number(max(seen['memory'], 0))} MB"

    return each(field, more)


def kinds(field: Field) -> Column:
    """How many recorded streams give the text that they hold, without an error."""
    # A peer may have its own way with calls of functions, which are no text.
    paths = [path for path in sorted(STREAMS.glob("*.sse")) if "tool_calls" not in path.stem]
    column = {}
    for peer in field.peers:
        if not peer.streams:
            column[peer.name] = "none: no streaming"
            continue
        with field.asking(peer) as asked:
            wrong = {path.stem: said for path in paths if (said := misread(asked, path))}
        column[peer.name] = f"{len(paths) - len(wrong)} of {len(paths)}"
        if wrong:
            said = "; ".join(f"`{name}`: {what}" for name, what in wrong.items())
            field.note(peer, f"Recorded streams: {said}.")
    return column


def misread(asked: Asked, path: Path) -> str:
    """Return what is wrong with the text that a peer reads, if anything is."""
    expected = json.loads(path.with_suffix(".json").read_text())
    seen = asked.ask(f"recorded {path.stem}", SOON)
    wrong = "" if seen["text"] == expected["text"] else f"reads `{seen['text']!r}`"
    return seen["error"].partition(":")[0].strip() or wrong


def tokens(field: Field) -> Column:
    """Token requests of 20 processes that start at once, with API keys in version 1."""
    children = {OURS.name: bench_processes.CHILD, SDK.name: SDK_CHILD}
    return {
        peer.name: str(
            bench_processes.token_requests(
                cached=True, child=children[peer.name], python=peer.python(field.folder)
            )
        )
        if peer.name in children
        else "none: static key"
        for peer in field.peers
    }


def iopub(field: Field) -> Column:
    """Bytes on IOPub for each byte of the answer, at 100 chunks a second."""

    def size(peer: Peer) -> str:
        cells = [f"from peers.{peer.module} import show", f"show({FIRST.endpoint!r})"]
        with bench_iopub.kernel(*cells, name=peer.module) as kernel:
            ran = kernel.run(f"show({SHOWN.endpoint!r})")
        return number(ran.size.total() / len(SHOWN.text.encode()))

    return each(field, size)


def write_kernel_specs(field: Field, share: Path, scratch: Path) -> None:
    """Write the specifications of the peers' kernels, which JupyterLab starts too."""
    for peer in field.peers:
        place, own = share / "kernels" / peer.module, scratch / peer.module
        place.mkdir(parents=True)
        own.mkdir()
        python = peer.python(field.folder)
        argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        variables = environment(field.url, own)
        spec = {"argv": argv, "display_name": peer.name, "language": "python", "env": variables}
        (place / "kernel.json").write_text(json.dumps(spec))


MEASURES: Mapping[str, Callable[[Field], Column]] = {
    "import": imports,
    "first token": first,
    "chunks a second of CPU (of `requests` + `json`)": chunks,
    "memory of a long answer": memory,
    "recorded streams read": kinds,
    "token requests of 20 processes": tokens,
    "bytes on IOPub for each of the answer": iopub,
}
