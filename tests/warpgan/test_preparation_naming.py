"""Names of crops: folders stay, no two photos share one, every disk can hold them."""

from warpgan.preparation.naming import allot_stems, crop_name, mirror_name


def stems(*names, taken=None):
    photos = [(name, f"/p/{name}") for name in names]
    return [stem.removeprefix("/p/") for stem in allot_stems(photos, taken=taken or {}).values()]


def test_folders_stay_and_suffixes_go():
    assert stems("ann/1.jpg", "bob/1.jpg") == ["ann/1", "bob/1"]


def test_photos_of_one_name_are_told_apart():
    assert stems("a.jpg", "a.png", "a.webp", "A.gif") == ["a", "a_png", "a_webp", "A_gif"]
    assert stems("a.b.png", "a.b.jpg") == ["a.b", "a.b_jpg"]


def test_faces_and_twins_of_another_photo_are_not_taken():
    assert stems("a.png", "a_face2.png", "a_mirror.jpg") == ["a", "a_face2_png", "a_mirror_jpg"]
    assert stems("a_face2.png", "a.png") == ["a_face2", "a_png"]


def test_a_photo_keeps_its_stem():
    taken = {"a_2": "/p/a.png", "a": "/elsewhere/a.png"}
    assert stems("a.png", "b.png", taken=taken) == ["a_2", "b"]


def test_odd_names_become_fit():
    assert stems("..hidden.png", "x?.png", "dots...png") == ["hidden", "x_", "dots"]
    assert stems("con/\ud800.png")[0].startswith("con/")
    assert len(stems("y" * 300 + ".png")[0]) <= 120


def test_second_faces_and_twins():
    assert (crop_name("a", 1), crop_name("a", 2)) == ("a.png", "a_face2.png")
    assert mirror_name("a_face2.png") == "a_face2_mirror.png"
