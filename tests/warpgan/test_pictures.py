import numpy as np
import pytest
import torch
from PIL import Image

from warpgan.pictures import contact_sheet, depth_picture, images_of, to_uint8, write_png

RED = np.full((16, 16, 3), (255, 0, 0), np.uint8)
BLUE = np.full((16, 16, 3), (0, 0, 255), np.uint8)


def test_range_is_mapped_and_clamped():
    image = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).expand(3, 1, 5)
    assert to_uint8(image)[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_eight_bit_images_survive_the_round_trip():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    tensor = torch.from_numpy(levels).permute(2, 0, 1) / 127.5 - 1
    assert np.array_equal(images_of(tensor[None])[0], levels)


@pytest.mark.parametrize("bad", [torch.zeros(1, 8, 8), np.zeros((8, 8, 3)), torch.zeros(8), "x"])
def test_other_images_are_refused(bad):
    with pytest.raises(ValueError, match="expected a float tensor"):
        to_uint8(bad)


def test_depth_gets_darker_with_distance():
    picture = depth_picture(torch.linspace(2.0, 3.5, 31)[None], near=2.25, far=3.3)
    light = picture.astype(float)[0] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) <= 0).all() and light[0] > 200 and light[-1] < 40
    assert np.array_equal(picture[0, 0], picture[0, 4])
    hole = depth_picture(np.array([[np.nan, 2.5]]), near=2.25, far=3.3)
    assert hole[0, 0].tolist() == [0, 0, 0] and hole[0, 1].sum() > 0
    with pytest.raises(ValueError, match="near < far"):
        depth_picture(np.ones((2, 2)), near=3.0, far=2.0)


def test_images_stand_where_they_belong():
    sheet = contact_sheet([[RED, BLUE], [BLUE, None]], gap=2)
    assert sheet.shape == (34, 34, 3)
    assert np.array_equal(sheet[:16, :16], RED) and np.array_equal(sheet[:16, 18:], BLUE)
    assert np.array_equal(sheet[18:, :16], BLUE) and (sheet[18:, 18:] == 255).all()


def test_captions_have_room_and_leave_images_alone():
    plain = contact_sheet([[RED, BLUE]])
    sheet = contact_sheet(
        [[RED, BLUE]], row_captions=["person"], column_captions=["truth", "ours"], title="a title"
    )
    assert sheet.shape[0] > plain.shape[0] and sheet.shape[1] > plain.shape[1]
    assert (sheet == (255, 0, 0)).all(-1).sum() == 256
    assert (sheet == (0, 0, 255)).all(-1).sum() == 256
    assert (sheet < 200).all(-1).any(), "captions are drawn"


def test_long_column_captions_wrap():
    short = contact_sheet([[RED]], column_captions=["one"], cell=64)
    long = contact_sheet([[RED]], column_captions=["one two three four five six"], cell=64)
    assert long.shape[0] > short.shape[0] and long.shape[1] == short.shape[1]


def test_whole_multiples_keep_pixels():
    checker = np.zeros((2, 2, 3), np.uint8)
    checker[0, 0] = checker[1, 1] = 255
    sheet = contact_sheet([[checker]], cell=8)
    assert np.array_equal(sheet, checker.repeat(4, 0).repeat(4, 1))


def test_an_oblong_image_is_centred():
    sheet = contact_sheet([[RED[:8]]], cell=16)
    assert (sheet[:4] == 255).all() and np.array_equal(sheet[4:12], RED[:8])


def test_miscounted_captions_are_refused():
    with pytest.raises(ValueError, match="2 row captions for 1 rows"):
        contact_sheet([[RED]], row_captions=["a", "b"])
    with pytest.raises(ValueError, match="1 column captions for 2 columns"):
        contact_sheet([[RED, RED]], column_captions=["a"])
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([[None]])


def test_png_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = write_png(tmp_path / "new" / "sheet.png", RED)
    assert np.array_equal(np.asarray(Image.open(path)), RED)
    before = path.read_bytes()

    def fail(self, file, format=None):
        file.write_bytes(b"half a picture")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        write_png(path, BLUE)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"\*\.png"):
        write_png(tmp_path / "sheet.jpg", RED)
