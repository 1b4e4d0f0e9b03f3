"""Bytes of a cached sample at 512 px, field by field.

    python scripts/measure_cache.py

What the views cache stores of a photo is measured on people of the embedded world: portraits drawn
at 512 px stand in for the generator's renders, their true ray lengths at 128 px for its ray
lengths, and random codes [14, 512], which do not compress, for an inversion. Cameras are those of
FFHQ-like photos and of such labels, rebalanced by yaw. Everything goes through the cache's own
writer; what is counted is the shard with its tar headers, and its index.

Renders of official weights are not measured, none are here; whether they cost more than these is
not known. What is known of a generator is printed at the end: the shipped one's renders and ray
lengths beside the portraits' at 128 px and 128 rays. Its renders are softer and cost less, its ray
lengths, a mean over samples of a ray, are rougher and cost more.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch

from warpgan import weights
from warpgan.cameras import look_at
from warpgan.data.portraits import Portrait
from warpgan.data.portraits.splits import ffhq_like_pose
from warpgan.data.view_cache import photo_members
from warpgan.data.view_codec import (
    LEAST_PSNR,
    encode_image,
    encode_ray_length,
    load_image,
)
from warpgan.data.view_pairs import RealViews
from warpgan.data.view_shards import PHOTOS, ShardPlan, ShardWriter, open_shard
from warpgan.encoders.inversion import load_encoder
from warpgan.generators import named_generator
from warpgan.pose import PoseDistribution, rebalance_by_yaw
from warpgan.view_maker import ViewMaker

SIZE, RAYS, CODES = 512, 128, (14, 512)
FFHQ_PHOTOS = 139_914
LIMIT = 214_000
"""Bytes a sample, on average, that make 30 GB of FFHQ and its mirror images."""
RAY_RANGE = (2.25, 3.46)
"""EG3D's nearest sample; the portraits' backdrop, which is a little beyond EG3D's farthest one."""


def draw_views(person: int, poses: PoseDistribution, *, novel_views: int) -> RealViews:
    """One person's views, as `ViewMaker.real` would return them."""
    rng = np.random.default_rng([person, 1])
    portrait = Portrait.sample(person)
    stream = torch.Generator().manual_seed(person)
    camera = look_at(*ffhq_like_pose(rng))
    novel = poses.sample(novel_views, stream, mirror=True)
    images, lengths = [], []
    for label in torch.cat([camera, novel]):
        image = portrait.render(label, size=SIZE).image
        images.append(torch.from_numpy(image).permute(2, 0, 1).float() / 255)
        lengths.append(torch.from_numpy(portrait.render(label, size=RAYS).ray_length)[None])
    return RealViews(
        photo=images[0][None],
        camera=camera,
        novel_camera=novel[None],
        ws=2 * torch.randn(1, *CODES, generator=stream),
        ray_length=lengths[0][None].float(),
        novel_ray_length=torch.stack(lengths[1:])[None].float(),
        render=images[0][None],
        novel_render=torch.stack(images[1:])[None],
        names=(f"{person:08d}.png",),
    )


def compare_with_generator(poses: PoseDistribution, *, count: int = 16) -> None:
    """Print bytes of the shipped generator's views beside those of portraits of the same size."""
    generator = named_generator("eg3d_mini")
    size = generator.img_resolution
    maker = ViewMaker(
        generator,
        load_encoder(weights.resolve("encoder_mini")),
        synthetic_poses=poses,
        invert_synthetic=False,
    )
    generator.neural_rendering_resolution = RAYS
    pairs = maker.synthetic(range(count))
    cost = {"generator": ([], []), "portraits": ([], [])}
    for person, label in enumerate(pairs.camera):
        view = Portrait.sample(person).render(label, size=size)
        image = torch.from_numpy(view.image).permute(2, 0, 1).float() / 255
        drawn = Portrait.sample(person).render(label, size=RAYS).ray_length
        rendered = pairs.ray_length[person, 0].numpy()
        for name, picture, length in (
            ("generator", pairs.source[person], rendered),
            ("portraits", image, drawn),
        ):
            cost[name][0].append(len(encode_image(picture).content))
            cost[name][1].append(len(encode_ray_length(length, near=2.25, far=3.46)))
    for name, (images, lengths) in cost.items():
        print(
            f"{name:>12}: {np.mean(images) / 1000:.2f} KB a render of {size} px, "
            f"{np.mean(lengths) / 1000:.2f} KB a map of {RAYS} rays"
        )


def main() -> None:
    """Print kilobytes a field."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--novel-views", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = look_at(*np.array([ffhq_like_pose(rng) for _ in range(5000)]).T)
    poses = PoseDistribution(labels[rebalance_by_yaw(labels)])
    plan = ShardPlan(PHOTOS, options.samples, options.samples)
    lowest = np.inf
    with tempfile.TemporaryDirectory() as folder:
        with ShardWriter(Path(folder), plan.names[0]) as writer:
            for person in range(options.samples):
                views = draw_views(person, poses, novel_views=options.novel_views)
                members = photo_members(views, 0, photo_sha256="0" * 64, ray_range=RAY_RANGE)
                writer.write(plan.key(person), members, name=views.names[0])
                exact = {"render.webp": views.render[0]}
                exact |= {f"novel_{i}.webp": image for i, image in enumerate(views.novel_render[0])}
                for field, image in exact.items():
                    error = (load_image(members[field], field) - image).square().mean()
                    lowest = min(lowest, -10 * float(error.log10()))
        index = open_shard(Path(folder), plan, plan.names[0])
        index_bytes = index.path.with_suffix(".json").stat().st_size
    # KB here are 1000 bytes, the stricter reading for a limit in KB.
    in_all = (index.size + index_bytes) / options.samples
    fields = index.spans[:, :, 1].mean(0)
    print(f"{options.samples} samples, {SIZE} px, {RAYS} rays, {options.novel_views} novel views")
    for field, size in zip(index.fields, fields, strict=True):
        print(f"{size / 1000:9.2f} KB  {field}")
    print(f"{index.size / options.samples / 1000 - fields.sum() / 1000:9.2f} KB  tar headers")
    print(f"{index_bytes / options.samples / 1000:9.2f} KB  index")
    print(f"{in_all / 1000:9.2f} KB  in all; {in_all * FFHQ_PHOTOS / 1e9:.1f} GB for {FFHQ_PHOTOS}")
    sizes = index.spans[:, :, 1].sum(1)
    print(
        f"{sizes.max() / 1000:9.2f} KB  largest sample, median {np.median(sizes) / 1000:.2f} KB, "
        f"{(sizes > LIMIT).sum()} above {LIMIT / 1000:.0f} KB; lowest PSNR {lowest:.2f} dB"
    )
    compare_with_generator(poses)
    if lowest < LEAST_PSNR:
        raise SystemExit(f"a render is below {LEAST_PSNR} dB")


if __name__ == "__main__":
    main()
