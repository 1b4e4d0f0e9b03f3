#!/usr/bin/env bash
# Makes the shipped psp_mini, the pSp row of Table 1, on the shipped generator: minutes on one core.
#   bash scripts/train_psp_mini.sh   continues where it stopped; figures: warpgan/assets/training.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

python -m warpgan.train encoder=psp_small run.name=psp_mini train.steps=1000 data.mirror=true \
  train.mixed_precision=bf16
python - <<'PY'
import torch

from warpgan.encoders.inversion import load_encoder, save_encoder

psp = load_encoder("runs/psp_mini/encoder.safetensors")
save_encoder(psp, "warpgan/assets/psp_mini.safetensors", dtype=torch.int8)
PY
python -m warpgan.weights hash
