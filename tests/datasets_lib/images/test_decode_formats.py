import io
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import decode_image, decode_mask, png16, tiff16
from PIL import ExifTags, Image

from datasets_lib.images import decode
from datasets_lib.images.decode import decoded_files, set_pixel_limit, to_rgb
from datasets_lib.images.orientation import orientation_of
from datasets_lib.layouts.category import DatasetError


def pixels(height, width, channels, seed=0, levels=256):
    """Random pixels, (H, W, C) or (H, W)."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    dtype = np.uint8 if levels == 256 else np.uint16
    return np.random.default_rng(seed).integers(0, levels, shape, dtype=dtype)


def saved(array, kind, **options):
    """The bytes of an 8-bit image file."""
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


@pytest.fixture(scope="module")
def decoded(tmp_path_factory):
    """Decodes bytes through a file."""
    path = tmp_path_factory.mktemp("images") / "image"

    def run(data, size):
        path.write_bytes(data)
        return decode_image(path, size)

    return run


def with_alpha(array, seed=9):
    return np.dstack([array, pixels(*array.shape[:2], 1, seed)])


def wide(array):
    """The 16-bit equivalent of 8-bit values, always with a channel axis."""
    return array.reshape(*array.shape[:2], -1).astype(np.uint16) * 257


COLOR_FILES = {
    "png": lambda rgb: saved(rgb, "PNG"),
    "png rgba": lambda rgb: saved(with_alpha(rgb), "PNG"),
    "bmp": lambda rgb: saved(rgb, "BMP"),
    "bmp 32-bit": lambda rgb: saved(with_alpha(rgb), "BMP"),
    "tiff": lambda rgb: saved(rgb, "TIFF"),
    "webp": lambda rgb: saved(rgb, "WEBP", lossless=True),
    "tiff lzw": lambda rgb: saved(rgb, "TIFF", compression="tiff_lzw"),
    "png 16": lambda rgb: png16(wide(rgb)),
    "png 16 rgba": lambda rgb: png16(wide(with_alpha(rgb))),
    "tiff 16 little": lambda rgb: tiff16(wide(rgb)),
    "tiff 16 big": lambda rgb: tiff16(wide(rgb), ">"),
    "tiff 16 rgba": lambda rgb: tiff16(wide(with_alpha(rgb)), ">"),
    "tiff 16 deflate": lambda rgb: tiff16(wide(rgb), "<", deflate=True),
    "tiff 16 deflate big": lambda rgb: tiff16(wide(rgb), ">", deflate=True),
}

GRAY_FILES = {
    "png": lambda gray: saved(gray, "PNG"),
    "png alpha": lambda gray: saved(with_alpha(gray), "PNG"),
    "bmp": lambda gray: saved(gray, "BMP"),
    "tiff": lambda gray: saved(gray, "TIFF"),
    "png 16": lambda gray: png16(wide(gray)),
    "png 16 alpha": lambda gray: png16(wide(with_alpha(gray))),
    "tiff 16 little": lambda gray: tiff16(wide(gray)),
    "tiff 16 big": lambda gray: tiff16(wide(gray), ">"),
    "tiff 16 deflate": lambda gray: tiff16(wide(gray), ">", deflate=True),
}


def oriented_tiff16(array, orientation):
    """A 16-bit TIFF with an orientation, which replaces its number of rows per strip."""
    data = tiff16(array)
    rows = struct.pack("<HHI", 278, 4, 1) + struct.pack("<I", array.shape[0])
    turned = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    assert rows in data
    return data.replace(rows, turned)


SIDES = st.integers(1, 24)
EXAMPLES = settings(max_examples=15, deadline=None)


@pytest.mark.parametrize("kind", COLOR_FILES)
@EXAMPLES
@given(height=SIDES, width=SIDES, size=SIDES, seed=st.integers(0, 99))
def test_color_files_of_every_kind_give_equal_pixels(decoded, kind, height, width, size, seed):
    rgb = pixels(height, width, 3, seed)
    data = COLOR_FILES[kind](rgb)
    np.testing.assert_array_equal(decoded(data, size), decoded(saved(rgb, "PNG"), size))


@pytest.mark.parametrize("kind", GRAY_FILES)
@EXAMPLES
@given(height=SIDES, width=SIDES, size=SIDES, seed=st.integers(0, 99))
def test_gray_files_of_every_kind_equal_their_rgb(decoded, kind, height, width, size, seed):
    gray = pixels(height, width, 1, seed)
    rgb = saved(np.dstack([gray] * 3), "PNG")
    np.testing.assert_array_equal(decoded(GRAY_FILES[kind](gray), size), decoded(rgb, size))


@EXAMPLES
@given(height=SIDES, width=SIDES, size=SIDES, seed=st.integers(0, 99), clear=st.booleans())
def test_palette_files_equal_their_rgb(decoded, height, width, size, seed, clear):
    index, palette = pixels(height, width, 1, seed), pixels(256, 3, 1, seed + 1)
    image = Image.fromarray(index)
    image.putpalette(palette.tobytes())
    for options in ({}, {"transparency": 7}, {"transparency": bytes(range(256))}):
        stream = io.BytesIO()
        image.save(stream, "PNG", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = decoded(stream.getvalue(), size)
        np.testing.assert_array_equal(found, decoded(saved(palette[index], "PNG"), size))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
def test_one_bit_files_are_black_and_white(decoded, kind):
    bits = pixels(16, 16, 1) > 127
    expected = np.repeat(np.where(bits, 255, 0)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(decoded(saved(bits, kind), 16), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_are_divided_by_257_and_rounded(decoded, order, channels):
    wide_pixels = pixels(32, 32, 3, 5, levels=65536)[:, :, :channels]
    wide_pixels[0, :6, 0] = (0, 128, 129, 385, 386, 65535)
    # 128 / 257 < 0.5 < 129 / 257: no value lies half-way.
    expected = np.rint(np.broadcast_to(wide_pixels, (32, 32, 3)) / 257.0)
    np.testing.assert_array_equal(decoded(png16(wide_pixels), 32), expected)
    np.testing.assert_array_equal(decoded(tiff16(wide_pixels, order), 32), expected)


def test_sixteen_bits_that_begin_at_white_are_inverted(decoded):
    gray = pixels(32, 32, 1, 5, levels=65536).reshape(32, 32, 1)
    found = decoded(tiff16(gray, first=0), 32)
    np.testing.assert_array_equal(found, decoded(tiff16(65535 - gray), 32))


def test_planes_of_sixteen_bits_are_refused():
    with pytest.raises(DatasetError, match="16-bit planar pixels; convert it"):
        to_rgb(tiff16(wide(pixels(8, 8, 3)), planes=2), "x")


def test_every_value_of_sixteen_bits_is_rounded_to_the_nearest():
    every = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    found = np.asarray(to_rgb(png16(every), "x"))[:, :, 0]
    np.testing.assert_array_equal(found, np.rint(every[:, :, 0] / 257.0))


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
@pytest.mark.parametrize("write", [png16, tiff16])
def test_cameras_with_fewer_bits_fill_the_range(bits, write):
    top = 2**bits - 1
    wide_pixels = pixels(16, 16, 3, bits, levels=65536) & top
    wide_pixels[0, 0] = top
    found = np.asarray(to_rgb(write(wide_pixels), "x", bits))
    np.testing.assert_array_equal(found, np.rint(wide_pixels * 255.0 / top))
    with pytest.raises(DatasetError, match=rf"value {top:,}, .*at least --bits {bits}"):
        to_rgb(write(wide_pixels), "x", bits - 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "TIFF deflate", "TIFF 16", "TIFF gray"])
def test_no_orientation_is_applied(orientation, kind):
    rgb = np.zeros((16, 24, 3), np.uint8)
    rgb[:8, :8] = 255
    if kind == "TIFF 16":
        data = oriented_tiff16(wide(rgb), orientation)
    else:
        array = rgb[:, :, 0] if kind == "TIFF gray" else rgb
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        options = {"compression": "tiff_deflate"} if kind == "TIFF deflate" else {}
        data = saved(array, kind.partition(" ")[0], exif=exif, **options)
    assert orientation_of(Image.open(io.BytesIO(data))) == orientation
    found = np.asarray(to_rgb(data, "x")).astype(int)
    assert found.shape == rgb.shape
    assert np.abs(found - rgb).max() < 40  # JPEG rings


def test_a_rotated_size_names_the_orientation(tmp_path):
    (tmp_path / "mask.png").write_bytes(saved(pixels(24, 16, 1), "PNG"))
    with pytest.raises(DatasetError, match="EXIF orientation"):
        decode_mask(tmp_path / "mask.png", 8, (24, 16))


def test_dim_sixteen_bit_images_are_not_stretched(decoded):
    dim = pixels(16, 16, 3, 1, levels=65536) // 64
    assert decoded(png16(dim), 16).max() <= 4


def test_cmyk_is_mixed_to_rgb(decoded):
    cmyk = pixels(16, 16, 4)
    stream = io.BytesIO()
    Image.frombytes("CMYK", (16, 16), cmyk.tobytes()).save(stream, "TIFF")
    ink = cmyk / 255.0
    expected = 255 * (1 - ink[:, :, :3]) * (1 - ink[:, :, 3:])
    assert np.abs(decoded(stream.getvalue(), 16) - expected).max() <= 1


def test_jpeg_is_near_its_source(decoded):
    smooth = np.linspace(0, 255, 64).astype(np.uint8)[None, :].repeat(64, axis=0)
    for array in (smooth, np.dstack([smooth, smooth.T, 255 - smooth])):
        found = decoded(saved(array, "JPEG", quality=95), 64).astype(int)
        expected = array if array.ndim == 3 else np.dstack([array] * 3)
        assert np.abs(found - expected).mean() < 3


@pytest.mark.parametrize(("height", "width", "size"), [(90, 90, 32), (61, 113, 40), (20, 30, 64)])
def test_resizing_is_antialiased_bilinear(decoded, height, width, size):
    rgb = pixels(height, width, 3)
    image = torch.from_numpy(rgb).permute(2, 0, 1)[None].double()
    expected = torch.nn.functional.interpolate(
        image, (size, size), mode="bilinear", antialias=True, align_corners=False
    )[0].permute(1, 2, 0)
    found = decoded(saved(rgb, "PNG"), size)
    assert found.dtype == np.uint8
    # Pillow rounds to uint8 between the two axes.
    assert np.abs(found - expected.numpy()).max() <= 1.01


# Masks


@pytest.mark.parametrize(
    "encode",
    [
        lambda mask: saved(mask, "PNG"),
        lambda mask: saved(np.where(mask, 255, 0).astype(np.uint8), "PNG"),
        lambda mask: saved(mask.astype(np.uint8), "PNG"),  # one gray level of 255
        lambda mask: saved(np.dstack([mask * 0, mask * 9, mask * 0]).astype(np.uint8), "PNG"),
        lambda mask: saved(np.dstack([mask * 0, mask * 0, mask * 9]).astype(np.uint8), "PNG"),
        lambda mask: saved(with_alpha(mask.astype(np.uint8)), "PNG"),
        lambda mask: png16(mask[:, :, None].astype(np.uint16)),  # one level of 65535
        lambda mask: png16(np.dstack([mask, mask * 0, mask * 0]).astype(np.uint16)),
        lambda mask: saved(mask.astype(np.int32), "TIFF"),
        lambda mask: saved(mask.astype(np.uint8), "BMP"),
    ],
)
@pytest.mark.parametrize(("height", "width", "size"), [(16, 16, 16), (45, 30, 12), (7, 9, 20)])
def test_masks_are_nearest_and_any_value_is_defect(tmp_path, encode, height, width, size):
    mask = np.random.default_rng(2).random((height, width)) < 0.3
    path = tmp_path / "mask.png"
    path.write_bytes(encode(mask))
    rows = ((np.arange(size) + 0.5) * height / size).astype(int)
    columns = ((np.arange(size) + 0.5) * width / size).astype(int)
    found = decode_mask(path, size, (width, height))
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, mask[rows][:, columns])


def test_a_palette_mask_counts_by_color(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([0, 0, 0, 0, 0, 0, 128, 0, 0])
    image.save(tmp_path / "mask.png")
    assert decode_mask(tmp_path / "mask.png", 3, (3, 1)).tolist() == [[False, False, True]] * 3


def test_mask_of_another_size_is_refused(tmp_path):
    path = tmp_path / "mask.png"
    path.write_bytes(saved(pixels(20, 30, 1), "PNG"))
    with pytest.raises(DatasetError, match=r"30×20 pixels.*31×20") as caught:
        decode_mask(path, 8, (31, 20))
    assert str(path) in str(caught.value)


# Damage


@given(cut=st.floats(0, 1, exclude_max=True), kind=st.sampled_from(["png", "png 16", "bmp"]))
@settings(max_examples=60, deadline=None)
def test_truncated_file_is_refused(tmp_path_factory, cut, kind):
    data = COLOR_FILES[kind](pixels(20, 20, 3))
    path = tmp_path_factory.getbasetemp() / "cut.png"
    path.write_bytes(data[: int(cut * len(data))])
    with pytest.raises(DatasetError, match=f"{re.escape(str(path))}.*restore it"):
        decode_image(path, 8)


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_truncated_jpeg_and_tiff_are_refused(decoded, kind, share):
    data = saved(pixels(64, 64, 3), kind)
    with pytest.raises(DatasetError, match="restore it"):
        decoded(data[: int(share * len(data))], 8)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_png_with_a_changed_byte_is_refused(tmp_path_factory, data):
    make = data.draw(st.sampled_from([COLOR_FILES["png"], COLOR_FILES["png 16"]]))
    file = bytearray(make(pixels(12, 12, 3)))
    file[data.draw(st.integers(0, len(file) - 1))] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "changed.png"
    path.write_bytes(file)
    with pytest.raises(DatasetError, match="restore it"):
        decode_image(path, 8)


def test_missing_pixels_with_valid_checksums_are_refused(decoded):
    rows = zlib.compress(bytes(4 * 13)[:-20])
    header = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")):
        file += struct.pack(">I", len(content)) + kind + content
        file += struct.pack(">I", zlib.crc32(kind + content))
    with pytest.raises(DatasetError, match="restore it"):
        decoded(file, 4)


FOREIGN = {
    "an empty file": b"",
    "nothing but zeros": bytes(4096),
    "of an unknown format": b"no image",
    "a GIF file": saved(pixels(4, 4, 1), "GIF"),
    "a JPEG 2000 file": saved(pixels(16, 16, 3), "JPEG2000"),
    "an AVIF file": b"\0\0\0 ftypavif" + bytes(30),
    "a HEIC file": b"\0\0\0\x18ftypheic" + bytes(30),
    "a PNM file": saved(pixels(4, 4, 3), "PPM"),
    "an icon": saved(pixels(16, 16, 3), "ICO"),
    "a DICOM file": bytes([1]) * 128 + b"DICM",
    "a Photoshop file": b"8BPS" + bytes(20),
    "a web page": b"<!DOCTYPE html><html>",
    "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    "an AppleDouble file": b"\0\x05\x16\7" + bytes(30),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_formats_are_refused_by_name(decoded, kind):
    with pytest.raises(DatasetError, match=f"is {kind}.*PNG, JPEG, BMP, TIFF") as caught:
        decoded(FOREIGN[kind], 8)
    assert "object at 0x" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_without_a_declared_range_are_refused(decoded, dtype):
    with pytest.raises(DatasetError, match=f"{np.dtype(dtype)} values.*Convert"):
        decoded(saved(pixels(4, 4, 1).astype(dtype), "TIFF"), 4)


@pytest.mark.parametrize("side", [11, 20])  # above Pillow's limit, and above twice that
def test_the_decompression_bomb_limit_holds(decoded, monkeypatch, side):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(saved(pixels(10, 10, 3), "PNG"), 4).shape == (4, 4, 3)
        with pytest.raises(DatasetError, match=r"more than 100 pixels.*--max-megapixels"):
            decoded(saved(pixels(side, side, 3), "PNG"), 4)


def test_larger_images_are_allowed_by_megapixels(decoded, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    set_pixel_limit(None)
    assert Image.MAX_IMAGE_PIXELS == 100
    set_pixel_limit(1)
    assert decoded(saved(pixels(20, 20, 3), "PNG"), 4).shape == (4, 4, 3)


def test_missing_and_unreadable_files_are_refused(tmp_path, run_unprivileged):
    path = tmp_path / "image.png"
    with pytest.raises(DatasetError, match=r"image\.png cannot be read: No such file"):
        decode_image(path, 8)
    path.write_bytes(saved(pixels(4, 4, 3), "PNG"))
    path.chmod(0)
    with pytest.raises(DatasetError, match=r"image\.png cannot be read: Permission denied"):
        run_unprivileged(lambda: decode_image(path, 8))


def test_every_decoded_file_is_counted(tmp_path, decoded):
    before = decoded_files()
    decoded(saved(pixels(4, 4, 3), "PNG"), 4)
    decoded(png16(wide(pixels(4, 4, 3))), 4)
    path = tmp_path / "mask.png"
    path.write_bytes(saved(pixels(4, 4, 1), "PNG"))
    decode_mask(path, 4, (4, 4))
    assert decoded_files() - before == 3
    assert decode.decoded_files() == decoded_files()
