#!/usr/bin/env bash
# Five views a person: the frontal photo goes in, the views at +-30 and +-60 degrees are compared with the
# true ones. Perceptual distance, set distances and identity by |yaw|; ends in tables and an HTML page.
#   bash scripts/eval_mead.sh                        20 held-out portraits: minutes on 2 cores
#   bash scripts/eval_mead.sh /data/MEAD             the public layout: faces are found and cameras estimated
#   LANDMARKS=points.json bash scripts/eval_mead.sh /data/MEAD     five points a frame of another detector instead
#   bash scripts/eval_mead.sh /data/mead_prepared    images with dataset.json, a folder a person
#   METHODS=all bash scripts/eval_mead.sh            also the methods that optimise (minutes a person)
# Other settings: scripts/evaluation.sh. The same command continues an interrupted one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/evaluation.sh"

words=("evaluate.protocol=multi_view" "data.portraits=${PEOPLE:-20}" "evaluate.orbit_frames=12")
if [ $# -gt 0 ]; then
  data="$1"
  if [ -d "$data" ] && [ ! -f "$data/dataset.json" ]; then
    prepared="${PREPARED:-data/mead_prepared}"
    if [ -n "${LANDMARKS:-}" ]; then
      python -m warpgan.data.mead "$data" "$prepared" --landmarks "$LANDMARKS"
    elif [ ! -f "$prepared/dataset.json" ]; then
      python -m warpgan.prepare mead "$data" "$prepared"
    fi
    data="$prepared"
  fi
  words=("evaluate.protocol=multi_view" "data.path=$data")
fi
evaluate_and_tabulate mead "${words[@]}"
