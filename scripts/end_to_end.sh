#!/usr/bin/env bash
# One short run of the whole chain, on real entry points: portraits -> encoder training, interrupted
# and continued -> views -> SVINet training -> novel views -> evaluations -> tables. Numbers mean nothing here;
# that every part runs does.
#   bash scripts/end_to_end.sh [FOLDER]      default: a temporary folder, removed at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ $# -gt 0 ]; then
  out=$1
else
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi

python -m warpgan.data.portraits "$out/photos" --split celebahq --count 8 --seed 7
train=(python -m warpgan.train encoder=swin run.name=short "paths.runs=$out" "paths.cache=$out/cache"
  data.portraits=16 train.steps=6 train.batch_size=4 train.warmup_steps=2 train.log_every=1
  train.checkpoint_every=2 train.image_every=0 eval.every=6 eval.count=4 "eval.path=$out/photos")
"${train[@]}" &
training=$!
# Interrupt it as soon as it has a checkpoint; if it was faster, the second start has nothing to do.
while kill -0 "$training" 2>/dev/null && ! ls -d "$out"/short/checkpoints/step_* >/dev/null 2>&1; do
  sleep 0.2
done
kill -TERM "$training" 2>/dev/null || true
wait "$training" || [ $? -eq 75 ]
"${train[@]}"
test -f "$out/short/encoder.safetensors"

encoder="$out/short/encoder.safetensors"
python -m warpgan.precompute "paths.cache=$out/cache" "views.encoder=$encoder" data.portraits=16 \
  run.name=short views.photos=8 views.synthetic_pairs=8 views.shard_size=4
python -m warpgan.train_svinet run.name=short_svinet "paths.runs=$out" "paths.cache=$out/cache" \
  "views.cache=$out/cache/views/short" "views.encoder=$encoder" data.portraits=16 train.steps=2 \
  train.batch_size=2 train.synthetic_batch_size=2 train.warmup_steps=0 train.log_every=1 \
  train.image_every=2 eval.every=2 eval.count=2 eval.pictures=1

python -m warpgan.evaluate run.name=evaluation "paths.runs=$out" "data.path=$out/photos" \
  "evaluate.encoder=$out/short/encoder.safetensors" evaluate.resamples=200 generator=eg3d_mini
python -m warpgan.show_inversions "$out/photos" "$out/inversions.png" --count 3 \
  --encoder "six steps=$out/short/encoder.safetensors"
python -m warpgan.synthesize "$out/photos" "$out/novel" --count 1 --encoder "$encoder" \
  --svinet "$out/short_svinet" --yaw -20 20 --orbit 3
python -m warpgan.evaluate run.name=views "paths.runs=$out" "paths.cache=$out/cache" \
  "evaluate.encoder=$encoder" generator=eg3d_mini evaluate.protocol=multi_view data.portraits=2 \
  evaluate.resamples=200 evaluate.orbit_frames=3 baselines.step_scale=.005 \
  'method=[encoder,warp,warp_fill,warpgan,pti,hfgi3d]' "method.warpgan.svinet=$out/short_svinet"
python -m warpgan.evaluate run.name=novel_cameras "paths.runs=$out" "paths.cache=$out/cache" \
  "evaluate.encoder=$encoder" generator=eg3d_mini evaluate.protocol=novel_view data.portraits=2 \
  evaluate.resamples=200 'method=[encoder,generator_samples]'
python -m warpgan.tables "$out/views" "$out/novel_cameras" --out "$out/tables" --reference encoder
test -s "$out/inversions.png" && test -s "$out/evaluation/summary.json"
test -s "$out/novel/sheet.png" && test -s "$out/tables/report.html"
echo "end to end: done"
