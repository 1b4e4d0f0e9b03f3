import torch

from eg3d import ray_directions
from warpgan.cameras import look_at, make_label, split_label
from warpgan.warp import depth_z_from_ray_length, ray_length_from_depth_z, ray_stretch


def odd_cameras() -> torch.Tensor:
    labels = look_at([0.0, 40.0, -70.0], [0.0, 12.0, -20.0]).double()
    cam2world, intrinsics = split_label(labels)
    intrinsics = intrinsics.clone()
    intrinsics[1, 0, 1], intrinsics[1, 0, 2], intrinsics[1, 1, 1] = 0.11, 0.43, 3.1
    return make_label(cam2world, intrinsics)


def test_depth_is_the_part_of_the_ray_along_the_view():
    labels = odd_cameras()
    _, directions = ray_directions(labels, 8)
    cam2world, _ = split_label(labels)
    along = (directions * cam2world[:, None, :3, 2]).sum(-1).reshape(-1, 1, 8, 8)
    ray_length = torch.rand(3, 1, 8, 8, dtype=torch.float64) + 2
    assert torch.allclose(depth_z_from_ray_length(ray_length, labels), ray_length * along)


def test_round_trip_and_leading_axes():
    labels = odd_cameras()[None].expand(2, -1, -1)
    ray_length = torch.rand(2, 3, 1, 6, 8, dtype=torch.float64) + 2
    depth_z = depth_z_from_ray_length(ray_length, labels)
    assert torch.allclose(ray_length_from_depth_z(depth_z, labels), ray_length)


def test_the_error_of_taking_length_for_depth():
    # facts: centre 1, middle of an edge 1.0069, corner 1.0137
    stretch = ray_stretch(look_at(0.0, 0.0), 1025, 1025)[0, 0]
    assert stretch[512, 512].item() == 1
    assert abs(stretch[512, 0].item() - 1.0069) < 1e-4
    assert abs(stretch[0, 0].item() - 1.0137) < 2e-4
