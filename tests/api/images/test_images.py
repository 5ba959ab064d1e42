"""The images that ``-i`` names: variables and files."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib
from itertools import product
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import IPython.display
import pytest
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from qianfan_magic import ParameterError
from qianfan_magic.api.images.image import MAX_BYTES, MAX_BYTES_READ, MAX_PIXELS, make_image
from qianfan_magic.api.images.source import read_image

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"]
RED, BLUE = (255, 0, 0), (0, 0, 255)
ORIENTATION, MAKER, GPS = 0x0112, 0x010F, 0x8825


def drawing(mode="RGB", size=(12, 8)):
    """An image that looks different in each of the eight orientations."""
    image = Image.new("RGB", size, RED)
    ImageDraw.Draw(image).rectangle((0, 0, size[0] // 2, size[1] // 4), fill=BLUE)
    return image.convert(mode)


def noise(mode, size):
    pixels = random.Random(7).randbytes(size[0] * size[1] * len(mode))
    return Image.frombytes(mode, size, pixels)


def file_of(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def of(value):
    """Read the image of a variable."""
    return read_image("pic", {"pic": value}, Path())


def pixels(sent):
    """Open the file that is sent, checking its size and type against the attributes."""
    image = Image.open(io.BytesIO(sent.data))
    image.load()
    assert image.size == (sent.width, sent.height)
    assert sent.media_type == image.get_format_mimetype()
    return image


def error_of(value):
    with pytest.raises(ParameterError) as caught:
        pytest.fail(f"{value!r:.80} was read as {of(value)}")
    assert len(caught.value._render_traceback_()) == 2
    return str(caught.value)


# What a name stands for


def test_bytes_of_each_format_and_pil_images_are_read():
    for form, wrap in product(FORMATS, [bytes, bytearray, memoryview]):
        image = pixels(of(wrap(file_of(drawing(), form))))
        assert image.size == (12, 8), (form, wrap)
        red, _, blue = image.convert("RGB").getpixel((11, 7))
        assert red > 200, (form, wrap)
        assert blue < 50, (form, wrap)
    assert pixels(of(drawing())).tobytes() == drawing().tobytes()


def test_path_is_absolute_or_relative_to_the_folder_or_to_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "in"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "in"))
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    drawing().save(path)
    variables = {"photo": "a.png", "text": str(path), "path": path}
    for name in ["a.png", "./a.png", "~/a.png", "photo", "text", "path"]:
        image = read_image(name, variables, tmp_path / "in")
        assert image.name == name
        assert image.width == 12, name
    assert read_image("~/a.png", {}, Path("/")).width == 12


def test_variable_takes_precedence_over_a_file_unless_its_name_is_not_public(tmp_path):
    drawing().save(tmp_path / "photo", "PNG")
    assert read_image("photo", {}, tmp_path).width == 12
    assert read_image("photo", {"photo": drawing(size=(5, 4))}, tmp_path).width == 5
    for name in ["_hidden", "a.png", "a b"]:
        drawing().save(tmp_path / name, "PNG")
        assert read_image(name, {name: drawing(size=(5, 4))}, tmp_path).width == 12, name


def test_display_image_is_read_but_not_fetched_from_an_address(tmp_path):
    drawing().save(tmp_path / "a.png")
    assert of(IPython.display.Image(data=file_of(drawing()))).width == 12
    assert of(IPython.display.Image(filename=str(tmp_path / "a.png"), embed=False)).width == 12
    shown = IPython.display.Image(url="http://127.0.0.1:9/a.png")
    assert "not fetched" in error_of(shown)


class Figure:
    """Draws itself like matplotlib's figure."""

    def savefig(self, file, *, format, dpi):
        assert format == "png"
        assert dpi == "figure"
        drawing().save(file, format)


def test_figure_and_objects_that_belong_to_it_are_drawn():
    from matplotlib.figure import Figure as RealFigure

    value: Any = Figure()
    for _ in range(3):
        assert of(value).width == 12
        value = SimpleNamespace(figure=value)
    figure = RealFigure(figsize=(4, 3), dpi=50)
    axes = figure.subfigures(1, 2)[0].subplots()
    assert of(figure).width == 200
    assert of(figure).height == 150
    assert of(figure) == of(axes)
    assert b"matplotlib" not in of(figure).data


class Broken:
    def savefig(self, *_, **__):
        raise RuntimeError("secret words of the object")


class BrokenInside:
    @property
    def figure(self):
        raise ZeroDivisionError


def test_figure_that_cannot_be_drawn():
    for value, error in ((Broken(), "RuntimeError"), (BrokenInside(), "ZeroDivisionError")):
        message = error_of(value)
        assert f"cannot be drawn: {error}" in message
        assert "secret" not in message
    assert "not a picture" in error_of(SimpleNamespace(savefig=lambda *_, **__: None))


def test_other_objects_are_refused():
    pyplot: Any = ModuleType("pyplot")
    pyplot.savefig = Figure().savefig  # draws the figure of some other cell
    for value in [None, 3, [1], {"data": b""}, object(), Image, max, pyplot]:
        message = error_of(value)
        assert f"-i pic: this {type(value).__name__} is not a picture" in message
        assert "-i takes a PIL image" in message


# What cannot be read


def test_neither_a_variable_nor_a_file(tmp_path):
    for name, variable, hint in (("photo", "x", str(tmp_path)), ("phto", "photo", "Did you mean")):
        with pytest.raises(ParameterError, match="neither a variable nor a file") as caught:
            read_image(name, {variable: 1, f"_{name}": 1}, tmp_path)
        assert hint in caught.value.hint
    assert caught.value.hint == "Did you mean photo?"


def test_missing_file_folder_and_pipe_are_refused(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    names = ["a.png", "loop.png", "photos[0]", "~no-such-user/a.png", "a\0b", "x/" * 5000]
    for name in names:
        with pytest.raises(ParameterError, match="there is no file of that name"):
            pytest.fail(f"{read_image(name, {}, tmp_path)} of {name}")
    (tmp_path / "in").mkdir()
    for name in [".", "in", "in/"]:
        with pytest.raises(ParameterError, match="this is a folder"):
            read_image(name, {}, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ParameterError, match="this is not a file"):
        read_image("pipe", {}, tmp_path)


def test_path_that_is_a_picture_in_base64_is_not_quoted():
    data = base64.b64encode(file_of(drawing())).decode()
    assert data[:12] not in error_of(data)


def test_bytes_and_objects_without_an_image_are_refused(tmp_path):
    svg, magic = b"<svg></svg>", b"\x89PNG\r\n\x1a\n"
    postscript = file_of(drawing(), "EPS")  # a program, which Pillow would run
    for data in [b"", b"\0", b"hello", "你好".encode(), svg, magic, postscript]:
        assert "this is not a picture" in error_of(data), data[:80]
    drawing().save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    assert "damaged or cut off" in error_of(image)  # it is closed
    assert "no pixels" in error_of(Image.new("RGB", (0, 5)))


def test_damaged_file_is_refused_or_sent():
    for form in FORMATS:
        data = file_of(noise("RGB", (64, 64)), form)
        message = error_of(data[: len(data) // 2])
        assert "damaged" in message, form
        assert "-i pic" in message, form
    dice = random.Random(1)
    for form, _ in product(FORMATS, range(100)):
        data = file_of(drawing(), form)
        damaged = bytearray(data[: dice.choice([len(data), dice.randrange(len(data))])])
        for at in dice.choices(range(len(damaged)), k=min(3, len(damaged))):
            damaged[at] = dice.randrange(256)
        try:
            sent = of(damaged)
        except ParameterError:
            continue  # any other exception fails the test
        pixels(sent)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width, height, depth=1, rows=b""):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_file_of_too_many_bytes_or_pixels_is_refused(tmp_path):
    for side in [10_001, 13_000, 50_000]:
        assert f"more than {MAX_PIXELS:,} pixels" in error_of(png_of(side, side)), side
    data = file_of(Image.new("1", (10_000, 10_000)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert of(data).thumbnail().width == 240
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(MAX_BYTES_READ + 1)
    with pytest.raises(ParameterError, match="more than 104,857,600 bytes"):
        read_image("a.png", {}, tmp_path)


# Metadata


def photo_file(form="JPEG", image=None, orientation=1):
    """A photo with all the metadata that Pillow can write."""
    exif = Image.Exif()
    exif[MAKER] = "Maker-of-cameras"
    exif[ORIENTATION] = orientation
    exif.get_ifd(GPS)[29] = "2024:01:31"
    options: dict[str, Any] = {
        "exif": exif,
        "icc_profile": b"Profile-of-Li",
        "comment": "Comment-of-Li",
    }
    if form == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Author", "Li")
    return file_of(image or drawing(size=(40, 30)), form, **options)


METADATA = [
    b"Exif",
    b"eXIf",
    b"Maker-of",
    b"2024:01",
    b"-of-Li",
    b"iCCP",
    b"ICC_",
    b"tEXt",
    b"Author",
    b"MPF",
]


def test_metadata_are_removed_even_if_invalid():
    for form, orientation in product(["PNG", "JPEG", "WEBP", "TIFF", "GIF"], [1, 6]):
        data = photo_file(form, orientation=orientation)
        assert any(word in data for word in METADATA), form
        sent = of(data)
        assert [word for word in METADATA if word in sent.data] == [], (form, orientation)
        assert not pixels(sent).getexif(), (form, orientation)
        image = Image.open(io.BytesIO(data))
        for value in (image, image.copy()):
            assert [word for word in METADATA if word in of(value).data] == [], form
    large = of(photo_file(image=noise("RGB", (2000, 1600))))  # is scaled
    assert [word for word in METADATA if word in large.data] == []
    assert of(photo_file(orientation=77)).width == 40
    for form in ["JPEG", "PNG", "WEBP"]:
        data = file_of(drawing(), form, exif=b"Exif\0\0no TIFF", dpi=(72, 72))
        assert of(data).width == 12, form


def test_only_metadata_and_data_behind_the_image_are_removed():
    options = [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}]
    for mode, chosen in product(["L", "RGB"], options):
        data = file_of(noise(mode, (99, 70)), "JPEG", **chosen)
        assert of(data).data == data, (mode, chosen)
    rgb = file_of(drawing(size=(40, 30)), "JPEG", keep_rgb=True)
    assert of(rgb).data == rgb
    for mode in ["1", "L", "LA", "P", "RGB", "RGBA"]:
        data = file_of(drawing(mode))
        assert of(data).data == data, mode
    for form in ("PNG", "JPEG"):
        data = photo_file(form, noise("RGB", (60, 40)))
        assert pixels(of(data)).tobytes() == Image.open(io.BytesIO(data)).tobytes(), form
    for form in ("PNG", "JPEG"):
        data = file_of(drawing(), form)
        assert of(data + b"ftypmp42 a motion photo's video").data == data, form
    data = file_of(drawing())
    assert of(data[:-2]).data == data


def test_second_image_of_a_photo_is_removed():
    first, second = noise("RGB", (40, 30)), noise("RGB", (60, 50))
    data = file_of(first, "MPO", save_all=True, append_images=[second])
    sent = of(data)
    assert len(sent.data) < len(data) / 2
    assert pixels(sent).tobytes() == Image.open(io.BytesIO(data)).tobytes()
    lying = file_of(first, "MPO", save_all=True, append_images=[second], exif=exif_of(6))
    assert (of(lying).media_type, of(lying).width) == ("image/jpeg", 30)


# Upright


def test_photo_is_rotated_upright_once():
    lying = drawing(size=(64, 48))
    for form, orientation in product(["PNG", "TIFF", "JPEG", "WEBP"], range(1, 9)):
        options = {"lossless": True} if form == "WEBP" else {}
        data = file_of(lying, form, exif=exif_of(orientation), **options)
        upright = lying.copy()
        upright.getexif()[ORIENTATION] = orientation
        ImageOps.exif_transpose(upright, in_place=True)
        sent = pixels(of(data))
        assert sent.size == upright.size, (form, orientation)
        right, bottom = sent.width - 3, sent.height - 3
        for corner in product([2, right], [2, bottom]):
            assert near(sent, corner) == near(upright, corner), (form, orientation, corner)
    image = Image.open(io.BytesIO(photo_file(orientation=6)))
    for value in (image, image.rotate(-90, expand=True)):
        assert (of(value).width, of(value).height) == (30, 40)


def exif_of(orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def near(image, at):
    red, _, blue = image.convert("RGB").getpixel(at)
    return "red" if red > blue else "blue"


def test_image_of_the_notebook_is_not_changed():
    image = Image.open(io.BytesIO(photo_file("PNG", orientation=6)))
    of(image)
    assert image.size == (40, 30)
    assert image.getexif()[ORIENTATION] == 6
    assert "icc_profile" in image.info


# Modes


def test_opaque_modes_become_rgb():
    for mode in ["P", "RGBX", "CMYK", "YCbCr", "HSV", "RGBA"]:
        image = pixels(of(drawing(mode)))
        assert image.mode == "RGB", mode
        assert near(image, (0, 0)) == "blue", mode
        assert near(image, (11, 7)) == "red", mode
    sent = of(file_of(drawing("CMYK", (40, 30)), "JPEG"))
    assert sent.media_type == "image/jpeg"
    assert pixels(sent).mode == "RGB"
    assert near(pixels(sent), (39, 29)) == "red"


def test_transparency_is_kept():
    for mode in ["LA", "La", "PA", "RGBA", "RGBa"]:
        image = drawing({"La": "LA", "RGBa": "RGBA"}.get(mode, mode))
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        sent = pixels(of(image.convert(mode)))
        assert sent.getchannel("A").getextrema()[0] < 50, mode
    image = Image.new("RGBA", (12, 8), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 6, 8))
    for form in ["GIF", "PNG", "WEBP"]:
        sent = pixels(of(file_of(image, form))).convert("RGBA")
        assert [sent.getpixel(at)[3] for at in [(0, 0), (11, 7)]] == [255, 0], form


def test_one_frame_of_an_animation_is_sent():
    frames = [Image.new("RGB", (12, 8), colour) for colour in (BLUE, RED, RED)]
    for form in ["GIF", "WEBP", "PNG", "TIFF"]:
        data = file_of(frames[0], form, save_all=True, append_images=frames[1:])
        animation: Any = Image.open(io.BytesIO(data))
        assert animation.n_frames > 1, form
        sent = pixels(of(data))
        assert getattr(sent, "n_frames", 1) == 1, form
        assert near(sent, (5, 5)) == "blue", form
    frames = [Image.new("RGB", (12, 8), colour) for colour in (BLUE, RED)]
    image = Image.open(
        io.BytesIO(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    )
    image.seek(1)
    assert near(pixels(of(image)), (5, 5)) == "red"


def greys(mode, numbers):
    image = Image.new(mode, (len(numbers), 1))
    for at, number in enumerate(numbers):
        image.putpixel((at, 0), number)
    return image


def test_numbers_become_8_bits():
    cases: list[tuple[str, list, list | None]] = [
        ("I;16", [0, 32768, 65535], [0, 127, 255]),
        ("I", [0, 128, 255], [0, 128, 255]),
        ("I", [0, 32768, 65535], [0, 127, 255]),
        ("I", [-100, 0, 100], [0, 127, 255]),
        ("F", [0.0, 0.5, 1.0], [0, 127, 255]),
        ("F", [0.0, 100.0, 200.0], [0, 100, 200]),
        ("F", [1e6, 1.5e6, 2e6], [0, 127, 255]),
        ("I", [-5, -5, -5], [0, 0, 0]),
        ("F", [float("nan"), 0.5, float("inf")], None),  # whatever, but an image
    ]
    for mode, numbers, expected in cases:
        image = pixels(of(greys(mode, numbers)))
        assert image.mode == "L", (mode, numbers)
        sent = [image.getpixel((at, 0)) for at in range(3)]
        assert expected in (None, sent), (mode, numbers)
    for form in ["PNG", "TIFF"]:
        sent = of(file_of(greys("I;16", [0, 65535]), form))
        assert sent.data[24] == 8, form
        assert pixels(sent).getextrema() == (0, 255), form


# Size


#: Bytes; a limit smaller than the real one, so that the images need not be large.
LIMIT = 64 * 1024


def fitted(content):
    return make_image("pic", content, max_bytes=LIMIT)


def test_image_of_at_most_4_megabytes_is_sent():
    data = file_of(noise("RGB", (1300, 1200)), "PNG")
    assert len(data) > MAX_BYTES == 4 * 1024**2
    assert len(of(data).data) <= MAX_BYTES
    sent = of(drawing(size=(4000, 3000)))
    assert sent.media_type == "image/png"
    assert sent.width == 4000


def test_large_image_is_made_to_fit():
    cases = [
        ("RGB", (320, 200), "PNG", "image/jpeg"),
        ("RGBA", (320, 200), "PNG", "image/png"),
        ("RGB", (320, 200), "JPEG", "image/jpeg"),
        ("L", (400, 300), "PNG", "image/jpeg"),
    ]
    for mode, size, form, media_type in cases:
        data = file_of(noise(mode, size), form, **({"quality": 98} if form == "JPEG" else {}))
        assert len(data) > LIMIT, (mode, form)
        sent = fitted(data)
        assert LIMIT / 4 < len(sent.data) <= LIMIT, (mode, form)
        assert sent.media_type == media_type, (mode, form)
        ratio = pixels(sent).width / sent.height
        assert ratio == pytest.approx(size[0] / size[1], rel=0.02), (mode, form)
    sent = fitted(file_of(noise("RGB", (6_500, 20)), "PNG"))
    assert len(sent.data) <= LIMIT
    assert sent.media_type == "image/jpeg"
    assert pixels(sent).width < 6_000
    sent = fitted(noise("RGB", (200, 120)))
    assert sent.media_type == "image/jpeg"
    assert sent.width == 200


def test_side_is_shorter_than_the_service_allows():
    for form, side in product(["PNG", "JPEG"], [5_999, 6_000]):
        sent = of(file_of(drawing("L", (side, 3)), form))
        assert sent.width == 5_999, (form, side)
        assert pixels(sent).width == 5_999, (form, side)


def test_image_of_exactly_the_limit_is_sent_unchanged():
    empty = chunk(b"IDAT", b"")
    dice = random.Random(3)
    tries = (png_of(width, 1, 8, b"\0" + dice.randbytes(width)) for width in range(1, 99))
    png = next(png for png in tries if (LIMIT - len(png)) % len(empty) == 0)
    for over in [0, len(empty)]:
        padding = empty * ((LIMIT - len(png) + over) // len(empty))
        data = png[:33] + padding + png[33:]
        assert len(data) == LIMIT + over
        assert (fitted(data).data == data) is (not over)


# Thumbnails


def test_thumbnail_has_at_most_240_pixels_and_the_ratio_and_format_of_its_image():
    sizes = [(500, 250), (300, 1200), (240, 100), (241, 3), (5000, 1)]
    for mode, (width, height) in product(["RGB", "RGBA", "L"], sizes):
        image = of(noise(mode, (width, height)))
        small = image.thumbnail()
        assert pixels(small).size == (small.width, small.height)
        assert max(small.width, small.height) <= 240, (width, height)
        assert len(small.data) <= 20_000, (mode, width, height)
        assert small.name == image.name
        ratio = height / width
        assert abs(small.height - small.width * ratio) <= 1.5 * max(1, ratio), (width, height)
    for form in ("PNG", "JPEG"):
        small = of(file_of(drawing(size=(960, 480)), form)).thumbnail()
        assert (small.width, small.height) == (240, 120), form
        assert small.media_type == f"image/{form.lower()}"
    sent = of(drawing())
    assert sent.thumbnail() is sent


def test_thumbnail_depends_on_the_data_alone_and_keeps_transparency():
    for form in ["PNG", "JPEG"]:
        data = file_of(noise("RGB", (500, 400)), form)
        assert of(data).thumbnail() == of(bytes(data)).thumbnail(), form
    image = Image.new("RGBA", (960, 480), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 480, 480))
    assert pixels(of(image).thumbnail()).getchannel("A").getextrema() == (0, 255)


# The value itself


def test_image_is_frozen_and_has_url_and_digest_but_no_data_in_its_repr():
    sent = of(file_of(drawing(), "JPEG"))
    head, _, body = sent.url.partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(body) == sent.data
    assert sent.digest == hashlib.sha256(sent.data).hexdigest()[:16]
    shown = repr(of(drawing()))
    assert shown == "Image(name='pic', media_type='image/png', width=12, height=8)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        of(drawing()).name = "other"


def run(code):
    fresh = [sys.executable, "-c", code]
    return subprocess.run(fresh, capture_output=True, text=True, check=True).stdout


def test_pillow_is_imported_late():
    assert (
        run("import sys, qianfan_magic.api.images.source; print('PIL' in sys.modules)") == "False\n"
    )


def test_missing_pillow_is_an_error_with_a_hint():
    code = """if True:
        import sys
        sys.modules["PIL"] = None  # what Python notes for a module that must not be imported
        from pathlib import Path
        from qianfan_magic.errors import QianfanError
        from qianfan_magic.api.images.source import read_image
        try:
            read_image("a.png", {}, Path())
        except QianfanError as error:
            print(error)
    """
    hint = "Install it with: python -m pip install 'qianfan-magic[images]'"
    assert run(code).splitlines() == ["-i needs the package Pillow", hint]
