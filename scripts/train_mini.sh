#!/usr/bin/env bash
# Makes the shipped mini weights from nothing: portraits -> eg3d_mini -> encoder_mini.
#   bash scripts/train_mini.sh          about 1 h 30 min on 2 quiet cores; continues where it stopped
# Figures of the shipped files: warpgan/assets/training.md
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export OMP_NUM_THREADS=2

# First cycle: the recipe that serves as the 20-minute reference point.
python -m warpgan.train_generator run.name=eg3d_mini_first threads=2 \
  schedule.steps=3000 'schedule.cycles=[3000]' 'schedule.peaks=[.01]'
# Second cycle: more rays beside the person, against floaters.
python -m warpgan.train_generator run.name=eg3d_mini threads=2 \
  run.resume=runs/eg3d_mini_first/checkpoints/step_00003000 \
  batch.person_share=.4 batch.centre_share=.2
python -m eg3d.convert runs/eg3d_mini/eg3d_mini.safetensors warpgan/assets/eg3d_mini.safetensors \
  --dtype float16 --overwrite

# The shipped encoder left a 2,000-step schedule at step 1,000 and fell to zero by step 1,250.
encoder=(python -m warpgan.train encoder=swin data.portraits=2500 train.mixed_precision=bf16)
"${encoder[@]}" run.name=encoder_mini_first train.keep_checkpoints=20
"${encoder[@]}" run.name=encoder_mini train.steps=1250 \
  run.resume=runs/encoder_mini_first/checkpoints/step_00001000
python - <<'PY'
import torch

from warpgan.encoders.inversion import load_encoder, save_encoder

encoder = load_encoder("runs/encoder_mini/encoder.safetensors")
save_encoder(encoder, "warpgan/assets/encoder_mini.safetensors", dtype=torch.float16)
PY
python -m warpgan.weights hash
