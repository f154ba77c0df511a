"""Decoding: hand-worked pixels for every mode."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lakeviz.data import load_image, load_mask
from lakeviz.data.images import dark_images, image_size
from lakeviz.errors import ImageReadError, MaskError


def pixels(path):
    image = load_image(path)
    assert image.mode == "RGB"
    return np.asarray(image).tolist()


def save(path, values, dtype, **options):
    Image.fromarray(np.array(values, dtype=dtype)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled_by_its_full_range(tmp_path, name):
    # 257 = 65535 / 255, so 257 k becomes k; 128 rounds down (0.498) and 129 up (0.502).
    path = save(tmp_path / name, [[0, 128, 129, 257, 25700, 65535]], np.uint16)
    assert pixels(path) == [[[0] * 3, [0] * 3, [1] * 3, [1] * 3, [100] * 3, [255] * 3]]


def test_the_scale_does_not_depend_on_the_image(tmp_path):
    dark = save(tmp_path / "dark.png", [[257, 514]], np.uint16)
    assert pixels(dark) == [[[1] * 3, [2] * 3]]


def test_32_bit_integers_must_be_16_bit_values(tmp_path):
    assert pixels(save(tmp_path / "a.tif", [[0, 65535]], np.int32)) == [[[0] * 3, [255] * 3]]
    for value in (65536, -1):
        with pytest.raises(ImageReadError, match=r"b\.tif: its integers span"):
            load_image(save(tmp_path / "b.tif", [[0, value]], np.int32))


def test_floats_must_be_within_0_and_1(tmp_path):
    path = save(tmp_path / "a.tif", [[0.0, 0.2, 1.0]], np.float32)
    assert pixels(path) == [[[0] * 3, [51] * 3, [255] * 3]]
    for value in (1.5, -0.1, np.nan, np.inf):
        with pytest.raises(ImageReadError, match="not all within 0 and 1"):
            load_image(save(tmp_path / "b.tif", [[0.0, value]], np.float32))


def test_grey_bilevel_and_palette(tmp_path):
    assert pixels(save(tmp_path / "grey.png", [[7, 200]], np.uint8)) == [[[7] * 3, [200] * 3]]
    assert pixels(save(tmp_path / "bits.png", [[False, True]], bool)) == [[[0] * 3, [255] * 3]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png")
    assert pixels(tmp_path / "palette.png") == [[[10, 20, 30], [40, 50, 60]]]


def test_transparency_is_laid_on_white(tmp_path):
    rgba = [[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]]
    # opaque; fully transparent; a fifth of black on white: 255 * 0.8 = 204
    expected = [[[255, 0, 0], [255] * 3, [204] * 3]]
    assert pixels(save(tmp_path / "rgba.png", rgba, np.uint8)) == expected
    grey_alpha = Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8), "LA")
    grey_alpha.save(tmp_path / "la.png")
    assert pixels(tmp_path / "la.png") == [[[9] * 3, [255] * 3]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=1)
    assert pixels(tmp_path / "palette.png") == [[[10, 20, 30], [255] * 3]]


def test_cmyk(tmp_path):
    # No ink is white, full black ink is black, full cyan takes away the red.
    cmyk = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0]]], np.uint8)
    Image.fromarray(cmyk, "CMYK").save(tmp_path / "a.tif")
    assert pixels(tmp_path / "a.tif") == [[[255] * 3, [0] * 3, [0, 255, 255]]]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, [[1, 2, 3], [4, 5, 6]]),
        (3, [[6, 5, 4], [3, 2, 1]]),  # turned by 180 degrees
        (6, [[4, 1], [5, 2], [6, 3]]),  # to be turned clockwise
        (8, [[3, 6], [2, 5], [1, 4]]),  # to be turned counter-clockwise
    ],
)
def test_exif_orientation_is_applied(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", [[1, 2, 3], [4, 5, 6]], np.uint8, exif=exif)
    assert np.asarray(load_image(path))[:, :, 0].tolist() == upright


def test_one_pixel(tmp_path):
    assert pixels(save(tmp_path / "a.png", [[[1, 2, 3]]], np.uint8)) == [[[1, 2, 3]]]


def test_16_bit_colour_keeps_its_high_bytes(tmp_path):
    # Pillow cannot write such a PNG, so it is put together here: one row of two pixels.
    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">6H", 0x0000, 0x0100, 0x80FF, 0xFFFF, 0x7F00, 0x00FF)
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )
    assert pixels(tmp_path / "a.png") == [[[0x00, 0x01, 0x80], [0xFF, 0x7F, 0x00]]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
def test_truncated_images_are_named(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"cut{suffix}", noise, np.uint8)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ImageReadError, match=rf"cut\{suffix}"):
        load_image(path)


def test_missing_empty_and_foreign_files_are_named(tmp_path):
    with pytest.raises(ImageReadError, match=r"absent\.png does not exist"):
        load_image(tmp_path / "absent.png")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not an image")
    for path in (tmp_path / "empty.png", tmp_path / "text.jpg", tmp_path):
        with pytest.raises(ImageReadError, match=path.name):
            load_image(path)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([[0, 1], [255, 0]], np.uint8),
        ([[False, True], [True, False]], bool),
        ([[0, 1], [65535, 0]], np.uint16),
        ([[[0, 0, 0], [0, 0, 1]], [[9, 0, 0], [0, 0, 0]]], np.uint8),
        ([[[0, 0, 0, 255], [0, 0, 1, 255]], [[9, 0, 0, 0], [0, 0, 0, 9]]], np.uint8),
    ],
    ids=["grey", "bilevel", "16 bit", "rgb", "rgba"],
)
def test_any_non_zero_value_is_a_defect(tmp_path, values, dtype):
    path = save(tmp_path / "mask.png", values, dtype)
    mask = load_mask(path, (2, 2))
    assert mask.dtype == bool
    assert mask.tolist() == [[False, True], [True, False]]


def palette_mask(path, colours):
    image = Image.new("P", (2, 1))
    image.putpalette(colours)
    image.putpixel((1, 0), 1)
    image.save(path)
    return path


def test_palette_masks(tmp_path):
    usual = palette_mask(tmp_path / "usual.png", [0, 0, 0, 128, 0, 0])
    assert load_mask(usual, (1, 2)).tolist() == [[False, True]]
    for colours in ([255, 255, 255, 0, 0, 0], [255, 255, 255, 255, 0, 0]):
        odd = palette_mask(tmp_path / "odd.png", colours)
        with pytest.raises(MaskError, match=r"odd\.png: in its palette"):
            load_mask(odd, (1, 2))


def test_mask_of_another_size_names_both(tmp_path):
    path = save(tmp_path / "mask.png", np.ones((3, 5)), np.uint8)
    with pytest.raises(MaskError) as raised:
        load_mask(path, (3, 4), image_path="image.png")
    assert str(raised.value) == (
        f"the mask {path} is 5x3 (width x height) and its image image.png 4x3"
    )
    with pytest.raises(MaskError, match="transpose: one of the two lacks the EXIF rotation"):
        load_mask(path, (5, 3))


def test_mask_with_its_own_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "mask.png", [[1, 0, 0], [0, 0, 0]], np.uint8, exif=exif)
    assert load_mask(path, (3, 2)).tolist() == [[False, True], [False, False], [False, False]]


def test_bad_masks_are_named(tmp_path):
    with pytest.raises(MaskError, match=r"absent\.png does not exist"):
        load_mask(tmp_path / "absent.png", (1, 1))
    with pytest.raises(MaskError, match="NaN"):
        load_mask(save(tmp_path / "nan.tif", [[np.nan]], np.float32), (1, 1))
    (tmp_path / "folder").mkdir()
    with pytest.raises(MaskError, match="folder holds no image"):
        load_mask(tmp_path / "folder", (1, 1))


def test_image_size_is_that_of_the_upright_image(tmp_path):
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(path, exif=exif)
    width, height = load_image(path).size
    assert image_size(path) == (height, width) == (30, 20)
    Image.new("L", (7, 5)).save(tmp_path / "plain.png")
    assert image_size(tmp_path / "plain.png") == (5, 7)
    with pytest.raises(ImageReadError, match=r"nothing\.png does not exist"):
        image_size(tmp_path / "nothing.png")


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_is_none_is_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", np.zeros((32, 40)), np.uint8, exif=exif)
    assert image_size(path) == load_image(path).size[::-1] == (32, 40)


def test_damaged_exif_of_a_png_leaves_its_pixels(tmp_path):
    path = save(tmp_path / "a.png", [[7, 9]], np.uint8)
    chunk = b"eXIf" + b"no TIFF"
    bad = struct.pack(">I", 7) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(path.read_bytes()[:33] + bad + path.read_bytes()[33:])
    assert pixels(path) == [[[7] * 3, [9] * 3]]
    assert image_size(path) == (1, 2)
    assert load_mask(path, (1, 2)).all()


def test_strips_give_what_the_whole_gives(tmp_path, monkeypatch):
    monkeypatch.setattr("lakeviz.data.images._STRIP", 7)
    values = np.random.default_rng(0).integers(0, 65536, (9, 3))
    expected = np.rint(values / 257).astype(int)
    path = save(tmp_path / "a.png", values, np.uint16)
    assert np.asarray(load_image(path))[:, :, 1].tolist() == expected.tolist()
    path = save(tmp_path / "a.tif", values / 65535, np.float32)
    assert np.asarray(load_image(path))[:, :, 1].tolist() == expected.tolist()


def test_a_large_grey_image_needs_few_copies(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "large.png"
    Image.new("I;16", (6000, 6000)).save(path)  # 36 Mpx: 69 MiB decoded, 103 MiB as RGB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    load_image(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024


def test_too_large_images_are_named_with_a_way_out(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", np.zeros((9, 9)), np.uint8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    message = r"a\.png is too large \(81 pixels\); scale it down, .* or raise PIL"
    with pytest.raises(ImageReadError, match=message):
        load_image(path)


@pytest.mark.parametrize(
    ("values", "mode", "expected"),
    [
        ([[[0, 0, 0, 255], [0, 9, 0, 0]]], "CMYK", [[False, True]]),  # black ink; hardly any
        ([[[0, 0, 0, 255], [0, 0, 0, 0]]], "RGBA", [[True, False]]),  # drawn in opacity alone
        ([[[255, 0], [255, 40]]], "LA", [[False, True]]),
        ([[[255, 0, 0, 255], [255, 0, 0, 255]]], "RGBA", [[True, True]]),  # no drawing in it
        ([[[0, 0, 0, 0], [9, 0, 0, 9]]], "RGBA", [[False, True]]),
    ],
)
def test_masks_in_other_modes(tmp_path, values, mode, expected):
    path = tmp_path / "m.tif"
    Image.fromarray(np.array(values, np.uint8), mode).save(path)
    assert load_mask(path, (1, 2)).tolist() == expected


def test_palette_masks_with_transparency_warn_of_nothing(tmp_path, recwarn):
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 128, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "m.png", transparency=b"\x00\x80")
    assert load_mask(tmp_path / "m.png", (1, 2)).tolist() == [[False, True]]
    assert not recwarn.list


def test_12_bits_in_16_are_said(tmp_path):
    paths = [save(tmp_path / f"{i}.png", [[0, 4095]], np.uint16) for i in range(2)]
    (note,) = dark_images({"bolt": paths, "nut": []})
    assert note.startswith("bolt: the brightest grey of its first 16-bit images is 4095 of 65535")
    assert dark_images({"bolt": [*paths, save(tmp_path / "b.png", [[60000]], np.uint16)]}) == []
    assert dark_images({"bolt": [save(tmp_path / "c.png", [[3]], np.uint8)]}) == []


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK", "P"])
def test_tiff_files_are_turned_once(tmp_path, mode, orientation, turns, compression):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 50, 3), dtype=np.uint8)
    image, exif = Image.fromarray(pixels).convert(mode), Image.Exif()
    if mode == "RGBA":
        image.putalpha(255)
    exif[0x112] = orientation
    more = {"compression": compression} if compression else {}
    image.save(tmp_path / "a.tiff", exif=exif, **more)
    expected = np.rot90(np.asarray(image.convert("RGB")), turns)
    np.testing.assert_array_equal(np.asarray(load_image(tmp_path / "a.tiff")), expected)
    assert image_size(tmp_path / "a.tiff") == expected.shape[:2]


def test_what_is_no_image_is_said_without_the_words_of_the_decoder(tmp_path):
    (tmp_path / "a.png").write_text("nonsense")
    with pytest.raises(ImageReadError, match=r"a\.png: it is no image of a known format$"):
        load_image(tmp_path / "a.png")
