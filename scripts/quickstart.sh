#!/usr/bin/env bash
# The main job on the embedded world, from nothing: environment, portraits, a few minutes of encoder
# training, a picture of what the trained and the shipped encoder make of held-out photos, and
# WarpGAN's views of them from the shipped weights.
#   bash scripts/quickstart.sh
# Running it again continues an interrupted training and reuses what is there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# Two threads are slower than one on a machine that is busy or has one core.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(nproc)}"

out=runs/quickstart
python -m warpgan.train encoder=swin experiment=quickstart
python -m warpgan.data.portraits "$out/held_out" --split celebahq --count 24 --seed 0
python -m warpgan.show_inversions "$out/held_out" "$out/inversions.png" \
  --encoder shipped=encoder_mini --encoder "just trained=$out/encoder.safetensors"
# One photo in, other cameras out: the shipped WarpGAN on four of these people.
python -m warpgan.synthesize "$out/held_out" "$out/views" --count 4 --orbit 20 --overwrite
python - "$out" <<'PY'
import json
import sys
from pathlib import Path

records = [json.loads(line) for line in (Path(sys.argv[1]) / "metrics.jsonl").open()]
losses = [record["loss"] for record in records if record["split"] == "train"]
held_out = [record for record in records if record["split"] == "validation"][-1]
print(
    f"RESULT loss {losses[0]:.3f} -> {losses[-1]:.3f} in {records[-1]['step']} steps; "
    + "held-out "
    + ", ".join(f"{k} {v:.4g}" for k, v in held_out.items() if isinstance(v, float))
)
PY
echo "Pictures: $out/inversions.png (encoders), $out/views/sheet.png (WarpGAN), orbit.mp4 beside each"
echo "Curves: tensorboard --logdir runs"
