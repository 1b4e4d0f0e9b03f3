import sys
from pathlib import Path

import numpy as np
import pytest

from tests.warpgan.image_files import encoded, picture
from warpgan.data.images import ImageError
from warpgan.demonstration.uploads import UploadLimits, decode_upload, read_upload, reduced

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from hostile_uploads import hostile_files, zip_bomb  # noqa: E402

SAFE = "hidden_bomb.png"
"""Opens as the 64 x 64 pixels it claims; what else its data hold is never inflated."""


def test_a_photo_is_read_and_its_file_removed(tmp_path):
    place = tmp_path / "name.png"
    place.write_bytes(encoded(picture(20)))
    np.testing.assert_array_equal(read_upload(place, UploadLimits()), picture(20))
    assert not place.exists()


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", hostile_files())
def test_hostile_files_end_in_a_message(name, tmp_path):
    place = tmp_path / "sent"
    place.write_bytes(hostile_files()[name])
    if name == SAFE:
        assert read_upload(place, UploadLimits()).shape == (64, 64, 3)
    else:
        with pytest.raises(ImageError, match="the file"):
            read_upload(place, UploadLimits())
    assert list(tmp_path.iterdir()) == []


def test_bytes_and_pixels_are_bounded(tmp_path):
    place = tmp_path / "large.png"
    place.write_bytes(encoded(picture(64)))
    with pytest.raises(ImageError, match="at most 0.001 MB"):
        read_upload(place, UploadLimits(megabytes=0.001))
    assert not place.exists()
    with pytest.raises(ImageError, match="40 x 40 pixels"):
        decode_upload(encoded(picture(40)), UploadLimits(pixels=1599))
    with pytest.raises(ImageError, match="7500 x 7500 pixels"):
        decode_upload(zip_bomb(7500), UploadLimits())


@pytest.mark.parametrize("megabytes", [0, -1, 1e9, float("nan")])
def test_senseless_limits_are_refused(megabytes):
    with pytest.raises(ValueError, match="--max-upload-mb"):
        UploadLimits(megabytes=megabytes)


def test_long_photos_are_reduced():
    photo = np.zeros((40, 100, 3), np.uint8)
    assert reduced(photo, side=50).shape == (20, 50, 3)
    assert reduced(photo, side=100) is photo
    assert reduced(np.zeros((1, 500, 3), np.uint8), side=50).shape == (1, 50, 3)
