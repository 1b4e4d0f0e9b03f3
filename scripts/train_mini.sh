#!/usr/bin/env bash
# Makes the shipped mini weights from nothing: portraits -> eg3d_mini -> encoder_mini -> svinet_mini.
#   bash scripts/train_mini.sh          about 3 h 30 min on 2 quiet cores; continues where it stopped
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
# Then 3,600 further steps on more people and their mirror images, from the half-precision file.
half() {
  python - "$1" "$2" <<'PY'
import sys

import torch

from warpgan.encoders.inversion import load_encoder, save_encoder

save_encoder(load_encoder(sys.argv[1]), sys.argv[2], dtype=torch.float16)
PY
}
half runs/encoder_mini/encoder.safetensors runs/encoder_mini/encoder_half.safetensors
OMP_NUM_THREADS=1 python -m warpgan.train encoder=swin run.name=encoder_mini_long train.steps=3600 \
  train.encoder_start=runs/encoder_mini/encoder_half.safetensors data.mirror=true \
  train.learning_rate=7.0e-4 train.mixed_precision=bf16
half runs/encoder_mini_long/encoder.safetensors warpgan/assets/encoder_mini.safetensors
python -m warpgan.weights hash

# SVINet, on views that are made once.
bash scripts/train_svinet_mini.sh
