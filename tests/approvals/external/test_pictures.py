"""Pictures that programs send: decoded, written anew, or refused."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from approvals.external import pictures
from approvals.external.pictures import PictureError, clean
from web.errors import Invalid

ORIENTATION, TURNED_RIGHT, GPS = 0x0112, 6, 0x8825


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def plain(width: int = 40, height: int = 20, colour: str = "red") -> Image.Image:
    return Image.new("RGB", (width, height), colour)


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.fixture
def storage(settings: Any, tmp_path: Path) -> Iterator[Path]:
    backend = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": backend}
    return tmp_path


def test_pictures_are_kept_and_read_again(storage: Path) -> None:
    stored = pictures.store([encoded(plain()), encoded(plain(30, 60), "JPEG")])
    assert [(each["index"], each["format"], each["width"], each["height"]) for each in stored] == [
        (1, "png", 40, 20),
        (2, "jpg", 30, 60),
    ]
    content, content_type = pictures.read({"pictures": stored}, 2) or (b"", "")
    assert (shown(content).format, content_type) == ("JPEG", "image/jpeg")
    assert pictures.read({"pictures": stored}, 3) is None
    assert pictures.read({}, 1) is None


def test_the_same_picture_is_one_file(storage: Path) -> None:
    first, second = pictures.store([encoded(plain())]), pictures.store([encoded(plain())])
    assert first == second
    assert sum(path.is_file() for path in storage.rglob("*")) == 1


def test_a_file_that_is_gone_is_none(storage: Path) -> None:
    stored = pictures.store([encoded(plain())])
    (storage / pictures.path_of(stored[0]["sha256"], "png")).unlink()
    assert pictures.read({"pictures": stored}, 1) is None


def test_each_refused_picture_is_named_and_none_is_kept(storage: Path) -> None:
    with pytest.raises(Invalid) as refused:
        pictures.store([encoded(plain()), b"<html>", b""])
    assert [detail["loc"] for detail in refused.value.facts["details"]] == [
        ["body", "evidence", "pictures", 1],
        ["body", "evidence", "pictures", 2],
    ]
    assert not list(storage.rglob("*"))


def test_four_at_most(storage: Path) -> None:
    assert len(pictures.store([encoded(plain())] * 4)) == 4
    with pytest.raises(Invalid) as refused:
        pictures.store([encoded(plain())] * 5)
    assert refused.value.facts["details"][0]["type"] == "value_error"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        encoded(plain(), "GIF"),
        encoded(plain(), "BMP"),
        encoded(plain(), "WEBP"),
        encoded(plain())[:-30],
        encoded(plain(400, 400), "JPEG")[:400],
    ],
    ids=["nothing", "png-head", "jpeg-head", "svg", "gif", "bmp", "webp", "png-cut", "jpeg-cut"],
)
def test_what_is_no_whole_png_or_jpeg_is_refused(data: bytes) -> None:
    with pytest.raises(PictureError, match="no whole PNG or JPEG"):
        clean(data)


def test_a_broken_checksum_is_refused() -> None:
    data = bytearray(encoded(plain()))
    data[data.index(b"IDAT") + 6] ^= 0xFF
    with pytest.raises(PictureError):
        clean(bytes(data))


def test_bombs_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = encoded(Image.new("1", (pictures.MAX_SIDE + 1, 1)))
    many = encoded(Image.new("1", (8192, 2049)))
    huge = encoded(Image.new("1", (20_000, 20_000)))
    assert len(huge) < 60_000
    monkeypatch.setattr(Image.Image, "load", lambda image: pytest.fail("decoded"))
    for data in (wide, many, huge):
        with pytest.raises(PictureError):
            clean(data)


def test_too_many_bytes_are_refused_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "open", lambda *args, **options: pytest.fail("opened"))
    with pytest.raises(PictureError, match="at most 4 MiB"):
        clean(encoded(plain()) + b"\0" * pictures.MAX_BYTES)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    data = encoded(plain(), "JPEG", progressive=True)
    clean(data)
    start = data.index(b"\xff\xda")
    with pytest.raises(PictureError, match="scans"):
        clean(data[:-2] + data[start:-2] * 40 + data[-2:])


def test_a_text_bomb_in_a_png_is_refused() -> None:
    info = PngInfo()
    for number in range(70):
        info.add_text(f"t{number}", "x" * 1_000_000, zip=True)
    data = encoded(plain(), pnginfo=info)
    assert len(data) < pictures.MAX_BYTES
    with pytest.raises(PictureError):
        clean(data)


def test_nothing_but_the_picture_stays() -> None:
    """Neither what a camera wrote down, nor text, nor a second file behind the first."""
    info = PngInfo()
    info.add_text("comment", "<script>alert(1)</script>")
    exif = Image.Exif()
    exif[GPS] = {1: "N", 2: (52.0, 31.0, 12.0)}
    exif[0x010F] = "<script>maker</script>"
    for data in (
        encoded(plain(), pnginfo=info) + b"<script>alert(1)</script>",
        encoded(plain(), "JPEG", exif=exif) + b"<script>alert(1)</script>",
    ):
        assert b"<script>" in data
        content, _form, _size = clean(data)
        assert b"script" not in content
        assert not shown(content).getexif()


def test_a_photo_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_RIGHT
    _content, _form, size = clean(encoded(plain(40, 20), "JPEG", exif=exif))
    assert size == (20, 40)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_sort_of_png(mode: str) -> None:
    content, form, size = clean(encoded(Image.new(mode, (7, 5))))
    assert (form, size, shown(content).mode in ("L", "RGB")) == ("png", (7, 5), True)


def test_what_is_transparent_is_white_on_every_page() -> None:
    content, _form, _size = clean(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 0))))
    assert shown(content).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_of_grey_stay_shades() -> None:
    image = Image.new("I;16", (2, 1))
    image.putpixel((1, 0), 32_768)
    content, _form, _size = clean(encoded(image))
    assert [shown(content).getpixel((x, 0)) for x in (0, 1)] == [0, 128]


def test_only_the_first_picture_of_a_moving_png_is_shown() -> None:
    data = encoded(plain(colour="red"), save_all=True, append_images=[plain(colour="blue")])
    content, _form, _size = clean(data)
    assert getattr(shown(content), "n_frames", 1) == 1
    assert shown(content).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
