"""What one run folder may hold: methods measured on the same photos, and what they share.

``photos/`` and ``truth_consistency.*`` are written once for all methods, so they must not outlive
the data that they are of.
"""

import json
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from warpgan.evaluation.config import PHOTOS_FOLDER
from warpgan.evaluation.consistency import TRUTH_FILE_NAME


def claim_run_folder(
    folder: Path, *, data: Mapping[str, Any], methods: Collection[str], overwrite: bool
) -> None:
    """Refuse a folder of other data, and clear what was shared if all of that is started anew.

    Args:
        folder: of the run.
        data: note of the photos, ready for JSON.
        methods: that are evaluated now.
        overwrite: whether their records are discarded.

    Raises:
        ValueError: if a method that stays was measured on other data.
    """
    found = {path.parent.name: path for path in sorted(folder.glob("*/settings.json"))}
    other = [
        name for name, path in found.items() if json.loads(path.read_text()).get("data") != data
    ]
    stays = [name for name in other if not (overwrite and name in methods)]
    if stays:
        raise ValueError(
            f"{folder} holds an evaluation of {stays[0]} on other data; choose another run.name, "
            "or start all of its methods anew with run.overwrite=true"
        )
    if other:
        shutil.rmtree(folder / PHOTOS_FOLDER, ignore_errors=True)
        for path in (folder / TRUTH_FILE_NAME, (folder / TRUTH_FILE_NAME).with_suffix(".json")):
            path.unlink(missing_ok=True)
