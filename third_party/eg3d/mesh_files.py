"""Meshes as binary PLY and as GLB (glTF 2.0), with a colour for each vertex in both."""

import json
import os
import struct
from pathlib import Path

import numpy as np

from .mesh import Mesh

SUFFIXES = (".ply", ".glb")

_GLB_MAGIC, _GLB_VERSION = 0x46546C67, 2
_JSON_CHUNK, _BINARY_CHUNK = 0x4E4F534A, 0x004E4942
_UNSIGNED_SHORT, _UNSIGNED_INT, _FLOAT = 5123, 5125, 5126
_VERTEX_DATA, _INDEX_DATA = 34962, 34963
_LARGEST_GLB = (1 << 32) - 1


def save_mesh(mesh: Mesh, path: str | Path) -> None:
    """Write a mesh, aside first and then renamed.

    Args:
        mesh: what to write.
        path: ends in `.ply` or `.glb`; missing folders are made, an existing file is replaced.

    Raises:
        ValueError: another suffix, a folder in the way, or a mesh beyond GLB's 4 GiB.
    """
    path = check_target(path)
    data = _ply(mesh) if path.suffix == ".ply" else _glb(mesh)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        aside.write_bytes(data)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def check_target(path: str | Path) -> Path:
    """Return the path, or say what is wrong with it as a mesh file to write."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: a mesh file must end in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file to write")
    return path


def _ply(mesh: Mesh) -> bytes:
    vertices = np.empty(
        len(mesh.vertices),
        dtype=[("position", "<f4", 3), ("normal", "<f4", 3), ("colour", "u1", 3)],
    )
    vertices["position"] = mesh.vertices
    vertices["normal"] = mesh.normals
    vertices["colour"] = mesh.colours
    faces = np.empty(len(mesh.faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    faces["count"] = 3
    faces["corners"] = mesh.faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    return "\n".join(header).encode("ascii") + vertices.tobytes() + faces.tobytes()


def _glb(mesh: Mesh) -> bytes:
    """One mesh, unlit: the colours are those of the image, with the light already in them."""
    positions = np.ascontiguousarray(mesh.vertices, dtype="<f4")
    opaque = np.full((len(positions), 1), 65535, dtype="<u2")
    colours = np.concatenate([_linear_colours(mesh.colours), opaque], axis=1)
    arrays = [
        (positions, "VEC3", _FLOAT, _VERTEX_DATA),
        (np.ascontiguousarray(mesh.normals, dtype="<f4"), "VEC3", _FLOAT, _VERTEX_DATA),
        (colours, "VEC4", _UNSIGNED_SHORT, _VERTEX_DATA),
        (np.ascontiguousarray(mesh.faces, dtype="<u4").reshape(-1), "SCALAR", _UNSIGNED_INT, None),
    ]
    views, accessors, offset = [], [], 0
    for index, (array, shape, component, target) in enumerate(arrays):
        length = array.nbytes  # a multiple of 4 for every array here, as glTF's alignment wants
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": length})
        views[-1]["target"] = target or _INDEX_DATA
        accessors.append({"bufferView": index, "componentType": component, "type": shape})
        accessors[-1]["count"] = len(array)
        offset += length
    accessors[0] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    accessors[2]["normalized"] = True
    attributes = {"POSITION": 0, "NORMAL": 1, "COLOR_0": 2}
    scene = {
        "asset": {"version": "2.0", "generator": "eg3d"},
        "extensionsUsed": ["KHR_materials_unlit"],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [
            {
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
                "doubleSided": True,
                "extensions": {"KHR_materials_unlit": {}},
            }
        ],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(scene, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + offset
    if total > _LARGEST_GLB:
        raise ValueError(f"the mesh takes {total} bytes, more than GLB can hold; write .ply")
    return b"".join(
        [
            struct.pack("<III", _GLB_MAGIC, _GLB_VERSION, total),
            struct.pack("<II", len(text), _JSON_CHUNK),
            text,
            struct.pack("<II", offset, _BINARY_CHUNK),
            *(array.tobytes() for array, *_ in arrays),
        ]
    )


def _linear_colours(srgb: np.ndarray) -> np.ndarray:
    """Convert `[V, 3]` uint8 sRGB to uint16 linear light, which is what glTF's vertices have."""
    value = np.arange(256) / 255
    curve = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.round(curve * 65535).astype("<u2")[srgb]
