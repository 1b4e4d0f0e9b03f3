#!/usr/bin/env bash
# Makes the shipped svinet_mini from the shipped generator and encoder: views, then training (row G).
#   bash scripts/train_svinet_mini.sh   continues where it stopped; figures: warpgan/assets/training.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

python -m warpgan.precompute
python -m warpgan.train_svinet run.name=svinet_mini views.cache=cache/views/mini \
  train.mixed_precision=bf16
python - <<'PY'
import torch

from warpgan.svinet import load_svinet, save_svinet

svinet = load_svinet("runs/svinet_mini/svinet.safetensors")
save_svinet(svinet, "warpgan/assets/svinet_mini.safetensors", dtype=torch.int8)
PY
python -m warpgan.weights hash
