"""Every kind of image file comes out as a viewer would show it."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.warpgan.image_files import encoded, picture
from warpgan.data import images
from warpgan.data.images import decode_image, read_header, to_unit_range


def test_rgb_png_is_unchanged():
    np.testing.assert_array_equal(decode_image(encoded(picture()), "x"), picture())


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_lossy_formats_are_close(extension):
    smooth = np.asarray(Image.fromarray(picture()).resize((64, 64), Image.BICUBIC))
    decoded = decode_image(encoded(smooth, extension, quality=95), "x")
    assert np.abs(decoded.astype(int) - smooth).mean() < 4


def test_sixteen_bit_grey_is_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    decoded = decode_image(encoded(Image.fromarray(ramp)), "x")
    expected = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(decoded, np.stack([expected] * 3, axis=-1))


def test_grey_becomes_equal_channels():
    grey = picture()[..., 0]
    np.testing.assert_array_equal(decode_image(encoded(grey), "x"), np.stack([grey] * 3, -1))


def test_bilevel_and_palette():
    bilevel = Image.fromarray(picture()).convert("1")
    assert set(np.unique(decode_image(encoded(bilevel), "x"))) == {0, 255}
    palette = Image.fromarray(picture()).quantize(32)
    np.testing.assert_array_equal(
        decode_image(encoded(palette), "x"), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("alpha", [0, 128, 255])
def test_transparency_is_laid_over_white(alpha):
    colour = np.full((8, 8, 4), (200, 40, 0, alpha), np.uint8)
    expected = np.array([200, 40, 0]) * alpha / 255 + 255 - alpha
    decoded = decode_image(encoded(colour), "x")
    np.testing.assert_allclose(decoded, np.broadcast_to(expected, (8, 8, 3)), atol=1)


def test_grey_with_alpha_and_transparent_palette():
    grey = Image.fromarray(np.full((8, 8, 2), (0, 0), np.uint8), "LA")
    assert (decode_image(encoded(grey), "x") == 255).all()
    palette = Image.fromarray(np.zeros((8, 8), np.uint8), "P")
    palette.putpalette([9, 9, 9])
    assert (decode_image(encoded(palette, transparency=0), "x") == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(orientation):
    wide = Image.fromarray(np.repeat(picture(32), 2, axis=1))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for extension in (".jpg", ".png"):
        content = encoded(wide, extension, exif=exif)
        upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
        decoded = decode_image(content, "x")
        np.testing.assert_array_equal(decoded, upright)
        assert decoded.shape[:2] == ((64, 32) if orientation >= 5 else (32, 64))
    content = encoded(wide, ".jpg", exif=exif)
    height, width = decode_image(content, "x").shape[:2]
    header = read_header(io.BytesIO(content), "x")
    assert (header.width, header.height, header.complete) == (width, height, True)


def test_cmyk_jpeg():
    smooth = np.asarray(Image.fromarray(picture(8)).resize((64, 64), Image.BICUBIC))
    cmyk = encoded(Image.fromarray(smooth).convert("CMYK"), ".jpg", quality=95)
    assert np.abs(decode_image(cmyk, "x").astype(int) - smooth).mean() < 5


@pytest.mark.parametrize("extension", [".png", ".jpg", ".webp"])
def test_truncation_is_noticed(extension):
    content = encoded(picture(64), extension)
    assert read_header(io.BytesIO(content), "x").complete
    for share in (0.5, 0.9):
        cut = content[: int(len(content) * share)]
        if extension != ".webp":  # Pillow refuses those on opening
            assert not read_header(io.BytesIO(cut), "x").complete
        with pytest.raises(images.ImageError, match="^x is damaged"):
            decode_image(cut, "x")


def test_a_bomb_is_refused_before_its_pixels_are_read(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 32 * 32 - 1)
    with pytest.raises(images.ImageError, match="x has 32 x 32 pixels, more than 1023"):
        decode_image(encoded(picture()), "x")


def test_range_and_orientation_of_the_tensor():
    image = np.zeros((4, 4, 3), np.uint8)
    image[0, 3] = (255, 0, 51)
    tensor = to_unit_range(image, 4)
    assert tensor.dtype == torch.float32 and tensor.shape == (3, 4, 4)
    torch.testing.assert_close(tensor[:, 0, 3], torch.tensor([1.0, -1.0, -0.6]))
    assert tensor[0, 3, 0] == -1


@pytest.mark.parametrize("cell", [1, 2, 3, 4])
def test_integer_factors_are_exact_means(cell):
    image = picture(24)
    tensor = to_unit_range(image, 24 // cell)
    for row in range(24 // cell):
        block = image[row * cell : (row + 1) * cell, :cell].reshape(-1, 3)
        expected = torch.tensor(block.mean(axis=0) / 127.5 - 1, dtype=torch.float32)
        torch.testing.assert_close(tensor[:, row, 0], expected, atol=1e-6, rtol=0)
    assert torch.equal(to_unit_range(image[:, ::-1], 24 // cell), tensor.flip(-1))


@pytest.mark.parametrize("size", [7, 10, 17, 48])
def test_other_factors_keep_range_mean_and_do_not_alias(size):
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    tensor = to_unit_range(stripes, size)
    assert tensor.shape == (3, size, size) and tensor.abs().max() <= 1
    assert tensor.mean().abs() < 0.05
    if size < 12:
        assert tensor[:, 2:-2, 2:-2].abs().max() < 0.25
