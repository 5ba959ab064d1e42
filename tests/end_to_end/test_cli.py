"""The command ``qianfan-magic`` as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
import requests

from qianfan_magic import QianfanClient

PATIENCE = 90.0  # seconds; only a test that fails waits so long
COMMAND = str(Path(sysconfig.get_path("scripts")) / "qianfan-magic")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Give this process's environment with Jupyter's folders in one of our own."""
    theirs = ("QIANFAN_", "JUPYTER", "JPY_", "PYTEST_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
    jupyter = folder / ".jupyter"
    jupyter.mkdir(exist_ok=True)
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    return kept | {name: str(jupyter / name) for name in names} | more


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [COMMAND, *arguments],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended, and all that it started
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def until(condition: Callable[[], bool]) -> bool:
    """Wait until it holds, at most for long."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def has_crashed(stderr: str) -> bool:
    """Tell whether the command left a traceback; a kernel's own does not count."""
    return re.search(r'File ".*(cli|demo)\.py", line', stderr) is not None


# --- serve


@dataclass
class Serving:
    """A server that was started, and the lines it printed."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.lines)

    @property
    def port(self) -> int:
        return int(self.variables["QIANFAN_BASE_URL"].rpartition(":")[2])


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Serving]:
    with started(folder, "serve", *arguments) as process:
        yield Serving(process, [process.stdout.readline().rstrip("\n") for _ in range(6)])


@pytest.fixture
def server(tmp_path) -> Iterator[Serving]:
    with serving(tmp_path) as running:
        yield running


def test_serve_prints_one_variable_a_line(server):
    addresses = ["QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL"]
    names = [*addresses, "QIANFAN_AK", "QIANFAN_SK", "QIANFAN_BEARER_TOKEN"]
    assert [line.split("=")[0] for line in server.lines] == names


def test_serve_prints_nothing_else_on_stdout(server):
    server.process.terminate()
    assert server.process.communicate(timeout=PATIENCE)[0] == ""


def test_printed_variables_are_all_it_takes(monkeypatch, server):
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    with QianfanClient() as client:
        assert client.complete("def fibonacci(n):", endpoint="starcoder").text.strip()


def test_serve_is_on_this_computer_only(server):
    hosts = {server.variables[f"QIANFAN_{name}BASE_URL"] for name in ("", "CONSOLE_API_")}
    assert all(host.startswith("http://127.0.0.1:") for host in hosts)


def test_serve_takes_a_port(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with serving(tmp_path, "--port", str(port)) as server:
        assert server.port == port


def test_serve_takes_a_seed(monkeypatch, tmp_path):
    said = set()
    for seed in range(6):
        with serving(tmp_path, "--seed", str(seed)) as server:
            client = QianfanClient(base_url=server.variables["QIANFAN_BASE_URL"], **keys(server))
            said.add(client.chat([{"role": "user", "content": "hi"}], endpoint="dolly_12b").text)
    assert len(said) > 1


def keys(server: Serving) -> dict[str, str]:
    return {"ak": server.variables["QIANFAN_AK"], "sk": server.variables["QIANFAN_SK"]}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_ends_well_on_a_signal(server, number):
    server.process.send_signal(number)
    assert server.process.wait(PATIENCE) == 0


def test_ended_server_lets_nobody_in(server):
    server.process.terminate()
    server.process.wait(PATIENCE)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), PATIENCE)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_port_that_is_taken_is_said(tmp_path, taken):
    done = run(tmp_path, "serve", "--port", str(taken))
    assert (done.returncode, f"Port {taken}" in done.stderr) == (1, True)


def test_port_that_is_taken_is_said_in_two_lines(tmp_path, taken):
    assert len(run(tmp_path, "serve", "--port", str(taken)).stderr.splitlines()) == 2


@pytest.mark.parametrize("port", ["70000", "-1", "many", "1.5"])
@pytest.mark.parametrize("command", ["serve", "demo"])
def test_port_that_is_none_is_refused(tmp_path, command, port):
    done = run(tmp_path, command, f"--port={port}")
    assert (done.returncode, port in done.stderr, has_crashed(done.stderr)) == (2, True, False)


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("serve", "--engine", "gpt")])
def test_wrong_command_is_refused(tmp_path, arguments):
    done = run(tmp_path, *arguments)
    assert (done.returncode, "usage: qianfan-magic" in done.stderr) == (2, True)


@pytest.mark.parametrize("name", ["demo", "serve"])
def test_help_lists_the_command(tmp_path, name):
    assert re.search(rf"^ +{name} +\w", run(tmp_path, "--help").stdout, re.MULTILINE)


# --- demo --execute


@pytest.fixture(scope="module")
def executed(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Execute the first notebook in an empty folder."""
    folder = tmp_path_factory.mktemp("executed")
    return run(folder, "demo", "--execute"), folder


def test_execute_ends_well(executed):
    assert executed[0].returncode == 0


def test_execute_prints_the_path_of_the_copy(executed):
    done, folder = executed
    copies = [path for path in folder.glob("*.ipynb") if str(path) in done.stdout]
    assert len(copies) == 1


def test_execute_streams_one_answer_into_the_terminal(executed):
    assert re.search(r"You: .*Great Wall\nModel: .*Great Wall", executed[0].stdout)


def test_executed_copy_has_answers(executed):
    notebook = nbformat.read(next(executed[1].glob("*.ipynb")), as_version=4)
    assert "Great Wall of China" in json.dumps([cell.get("outputs") for cell in notebook.cells])


def test_executed_copy_ran_from_top_to_bottom(executed):
    notebook = nbformat.read(next(executed[1].glob("*.ipynb")), as_version=4)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_execute_leaves_nothing_but_the_copy(executed):
    assert len([path for path in executed[1].iterdir() if path.name != ".jupyter"]) == 1


def write(folder: Path, *cells: str, kernel: str = "python3") -> str:
    """Write a notebook of these code cells; return its name."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    nbformat.write(made, folder / "mine.ipynb")
    return "mine.ipynb"


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Execute a notebook whose second cell fails, with keys of the user's in the environment."""
    folder = tmp_path_factory.mktemp("failed")
    variables = "print(sorted(n for n in os.environ if n.startswith('QIANFAN_')))"
    name = write(folder, f"import os\n{variables}", "%load_ext qianfan_magic", "%qianfan nonsense")
    done = run(folder, "demo", "--execute", name, QIANFAN_ACCESS_TOKEN="24.mine", QIANFAN_SK="m")
    return done, folder


def test_notebook_that_fails_ends_with_1(failed):
    assert failed[0].returncode == 1


def test_notebook_that_fails_says_why(failed):
    assert re.search(r"A cell failed: ParameterError: .*nonsense", failed[0].stderr)


def test_notebook_that_fails_is_written_all_the_same(failed):
    copy = nbformat.read(failed[1] / "mine.executed.ipynb", as_version=4)
    assert copy.cells[2].outputs[0].ename == "ParameterError"


def test_original_is_left_alone(failed):
    original = nbformat.read(failed[1] / "mine.ipynb", as_version=4)
    assert [cell.outputs for cell in original.cells] == [[], [], []]


def test_notebook_sees_the_embedded_server_and_no_key_of_the_user(failed):
    copy = nbformat.read(failed[1] / "mine.executed.ipynb", as_version=4)
    seen = copy.cells[0].outputs[0].text
    assert ("QIANFAN_BASE_URL" in seen, "QIANFAN_ACCESS_TOKEN" in seen) == (True, False)


def test_unknown_notebook_says_which_there_are(tmp_path):
    done = run(tmp_path, "demo", "--execute", "nothing.ipynb")
    said = "nothing.ipynb" in done.stderr, "01_first_answer.ipynb" in done.stderr
    assert (done.returncode, *said) == (1, True, True)


def test_file_that_is_no_notebook_is_said(tmp_path):
    (tmp_path / "broken.ipynb").write_text("{", encoding="utf-8")
    done = run(tmp_path, "demo", "--execute", "broken.ipynb")
    assert (done.returncode, has_crashed(done.stderr)) == (1, False)


def test_folder_that_cannot_be_written_is_said(tmp_path):
    """A folder stands where the copy would be written, which stops root too."""
    (tmp_path / "mine.executed.ipynb").mkdir()
    done = run(tmp_path, "demo", "--execute", write(tmp_path, "1"))
    assert (done.returncode, has_crashed(done.stderr)) == (1, False)


def test_kernel_that_dies_is_said(tmp_path):
    done = run(tmp_path, "demo", "--execute", write(tmp_path, "import os; os._exit(1)"))
    assert (done.returncode, has_crashed(done.stderr)) == (1, False)


def test_kernel_that_is_not_installed_is_said(tmp_path):
    name = write(tmp_path, "1", kernel="cobol")
    done = run(tmp_path, "demo", "--execute", name)
    said = "cobol" in done.stderr, has_crashed(done.stderr)
    assert (done.returncode, *said) == (1, True, False)


#: Says in one step that the cell is running, and in which process.
NOTE = "open('draft', 'w').write(str(os.getpid())); os.rename('draft', 'pid')"


@pytest.fixture(scope="module")
def cancelled(tmp_path_factory) -> tuple[str, int]:
    """Press Ctrl-C while a notebook is executed; give what stderr says, and its kernel's id."""
    folder = tmp_path_factory.mktemp("cancelled")
    note = folder / "pid"
    name = write(folder, f"import os, time; {NOTE}; time.sleep(3600)")
    with started(folder, "demo", "--execute", name) as process:
        until(note.is_file)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE)
    return said, int(note.read_text(encoding="utf-8"))


def test_ctrl_c_ends_an_execution_without_a_traceback(cancelled):
    assert not has_crashed(cancelled[0])


def test_ctrl_c_ends_the_kernel_too(cancelled):
    assert until(lambda: not is_running(cancelled[1]))


# --- demo with JupyterLab


def descendants(pid: int) -> set[int]:
    """Give the processes that a process has started, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found - {pid}


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@dataclass
class Lab:
    """A demo that was started, asked, and ended by SIGTERM."""

    address: str
    port: int
    status: requests.Response
    stranger: requests.Response
    kernel: requests.Response
    processes: set[int]
    left: set[int]
    code: int


def read_address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise AssertionError(process.stderr.read())


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("lab")
    with started(folder, "demo", "--no-browser", "--port", str(port)) as process:
        address = read_address(process)
        base, token = re.fullmatch(r"(.*/)lab\?token=(\w+)", address).groups()
        session = requests.Session()
        session.trust_env = False
        stranger = session.get(f"{base}api/status", timeout=PATIENCE)
        session.headers["Authorization"] = f"token {token}"
        status = session.get(f"{base}api/status", timeout=PATIENCE)
        kernel = session.post(f"{base}api/kernels", timeout=PATIENCE)
        processes = descendants(process.pid)
        process.terminate()
        code = process.wait(PATIENCE)
        until(lambda: not any(map(is_running, processes)))
        left = {pid for pid in processes if is_running(pid)}  # before all is killed here
    return Lab(address, port, status, stranger, kernel, processes, left, code)


def test_demo_prints_an_address_at_which_jupyterlab_answers(lab):
    assert (lab.status.status_code, "kernels" in lab.status.json()) == (200, True)


def test_demo_lets_in_nobody_without_the_token(lab):
    assert lab.stranger.status_code == 403


def test_demo_is_on_this_computer_and_the_port_that_was_chosen(lab):
    assert re.match(rf"http://(127\.0\.0\.1|localhost):{lab.port}/", lab.address)


def test_demo_can_start_a_kernel(lab):
    assert (lab.kernel.status_code, len(lab.processes) >= 2) == (201, True)


def test_demo_ends_well_on_sigterm(lab):
    assert lab.code == 0


def test_demo_leaves_nothing_running(lab):
    assert lab.left == set()


# --- a package is missing

BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r} or name.startswith({package!r} + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={package!r})
sys.meta_path.insert(0, Blocker())
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("tornado", ["serve"]),
        ("tornado", ["demo", "--execute"]),
        ("nbclient", ["demo", "--execute"]),
        ("jupyterlab", ["demo", "--no-browser"]),
        ("jupyter_server", ["demo", "--no-browser"]),
    ],
)
def test_missing_package_is_named_with_what_to_install(tmp_path, package, arguments):
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(package=package), encoding="utf-8")
    done = run(tmp_path, *arguments, PYTHONPATH=str(tmp_path))
    said = package in done.stderr, "pip install 'qianfan-magic[demo]'" in done.stderr
    assert (done.returncode, *said) == (1, True, True)


def test_python_without_the_missing_package_is_really_without_it(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(BLOCK.format(package="tornado"), encoding="utf-8")
    code = "import tornado.web"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(tmp_path, PYTHONPATH=str(tmp_path)),
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
