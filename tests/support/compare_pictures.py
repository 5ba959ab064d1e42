"""Compare two folders of pictures, such as ``build/screenshots`` before and after a change.

    python tests/support/compare_pictures.py BEFORE AFTER

It prints a line for each picture that differs, the most changed first: the share of pixels that
changed, its name, and its size in pixels before and after; and writes before, after and difference
side by side into ``build/differences``. Nothing is asserted: a person looks.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageChops

DIFFERENCES = Path(__file__).parents[2] / "build" / "differences"
#: Largest change of a color, from 0 to 255, that counts as none: smoothed edges of letters vary.
TOLERANCE = 16


def main(before: Path, after: Path) -> None:
    """Compare the pictures of two folders."""
    DIFFERENCES.mkdir(parents=True, exist_ok=True)
    old, new = ({path.name for path in folder.glob("*.png")} for folder in (before, after))
    for name in sorted(old ^ new):
        print(f"{name}  only in {before if name in old else after}")
    lines = []
    for name in sorted(old & new):
        first, second = (Image.open(folder / name).convert("RGB") for folder in (before, after))
        share = show_difference(first, second, DIFFERENCES / name)
        sizes = " -> ".join(f"{one.width} x {one.height}" for one in (first, second))
        if share:
            lines.append((share, f"{share:7.2%}  {name}  {sizes}"))
    print(*(line for _, line in sorted(lines, reverse=True)), sep="\n")
    same = len(old & new) - len(lines)
    print(f"{same} of {len(old & new)} are the same; the others are in {DIFFERENCES}.")


def show_difference(before: Image.Image, after: Image.Image, path: Path) -> float:
    """Write both pictures and their difference side by side; return the share that changed."""
    width, height = (max(pair) for pair in zip(before.size, after.size, strict=True))
    shown = Image.new("RGB", (3 * width, height), "white")
    shown.paste(before, (0, 0))
    shown.paste(after, (width, 0))
    parts = [shown.crop((x, 0, x + width, height)) for x in (0, width)]
    changed = ImageChops.difference(*parts).convert("L").point(lambda v: 255 * (v > TOLERANCE))
    share = changed.histogram()[255] / (width * height)
    if share:
        shown.paste(changed, (2 * width, 0))
        shown.save(path)
    return share


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
