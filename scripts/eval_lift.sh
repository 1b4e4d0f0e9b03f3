#!/usr/bin/env bash
# Lifting beside plain inversion and PTI on the photo alone: quality of the views at +-30 and +-60 degrees, and how
# consistent they are across views and along an orbit, paired, with intervals.
#   bash scripts/eval_lift.sh                        20 held-out portraits: about 50 minutes on 2 cores
#   PEOPLE=4 METHODS="encoder lift" bash scripts/eval_lift.sh
#   OUT       where the run and the tables go (default runs/eval_lift)
# The same command continues an interrupted one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
out="${OUT:-runs/eval_lift}"
methods="${METHODS:-encoder pti lift warpgan}"
python -m warpgan.evaluate "run.name=$(basename "$out")" "paths.runs=$(dirname "$out")" \
  evaluate.protocol=multi_view "data.portraits=${PEOPLE:-20}" evaluate.orbit_frames=12 \
  evaluate.optimised_consistency=true "evaluate.reference=${REFERENCE:-lift}" "method=[${methods// /,}]"
python -m warpgan.tables "$out" --out "$out/tables" --reference "${REFERENCE:-lift}"
