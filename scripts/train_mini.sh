#!/usr/bin/env bash
# Makes the shipped mini weights from nothing: portraits -> eg3d_mini -> encoder_mini.
#   bash scripts/train_mini.sh          about 1 h 50 min on 2 quiet cores; continues where it stopped
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
  schedule.steps=8000 'schedule.cycles=[3000,8000]' batch.person_share=.4 batch.centre_share=.2
python -m eg3d.convert runs/eg3d_mini/eg3d_mini.safetensors warpgan/assets/eg3d_mini.safetensors \
  --dtype float16 --overwrite

python -m warpgan.train encoder=swin run.name=encoder_mini
cp runs/encoder_mini/encoder.safetensors warpgan/assets/encoder_mini.safetensors
cp runs/encoder_mini/encoder.json warpgan/assets/encoder_mini.json
python -m warpgan.weights hash
