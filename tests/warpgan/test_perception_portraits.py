"""The bundled identity nets tell the embedded world's people apart, seen from two sides."""

import pytest
import torch

from warpgan import cameras
from warpgan.data.portraits import Portrait
from warpgan.perception import build_identity

PEOPLE = 8


@pytest.fixture(scope="module")
def views() -> tuple[torch.Tensor, torch.Tensor]:
    """Frontal and turned views of each person: [2, N, 3, 128, 128] in [-1, 1] and their labels."""
    labels = cameras.look_at([0.0, 25.0], [0.0, -5.0])
    pictures = []
    for seed in range(900, 900 + PEOPLE):
        person = Portrait.sample(seed)
        pictures.append([person.render(label, size=128).image for label in labels])
    images = torch.stack([torch.stack([torch.from_numpy(i) for i in p]) for p in pictures])
    images = images.permute(1, 0, 4, 2, 3).float() / 127.5 - 1
    return images, labels[:, None].expand(2, PEOPLE, 25)


@pytest.mark.parametrize("crop", ["aligned", "legacy"])
@pytest.mark.parametrize("name", ["id_dlib", "id_faceres"])
def test_same_person_from_another_side_is_nearer_than_strangers(views, name, crop):
    images, labels = views
    net = build_identity(name, crop=crop)
    with torch.no_grad():
        front, side = (net(images[i], labels[i]) for i in range(2))
    cosines = side @ front.t()
    own = cosines.diagonal()
    others = cosines[~torch.eye(PEOPLE, dtype=torch.bool)]
    auc = (own[:, None] > others[None]).float().mean()
    assert auc > 0.97
    assert (cosines.argmax(1) == torch.arange(PEOPLE)).float().mean() >= 0.9


def test_the_camera_steadies_the_aligned_crop(views):
    """With the true label a turned view stays nearer to the frontal one than with a wrong label."""
    images, labels = views
    net = build_identity("id_faceres")
    wrong = cameras.look_at(0.0, 0.0, roll_deg=35.0).expand(PEOPLE, 25)
    with torch.no_grad():
        front = net(images[0], labels[0])
        right = (net(images[1], labels[1]) * front).sum(1)
        misled = (net(images[1], wrong) * front).sum(1)
    assert (right - misled).mean() > 0.05
