#!/usr/bin/env bash
# All checks of a submission: style, the quick tests, and one end-to-end run on the embedded world.
#   bash scripts/test.sh                everything (makes the environment if it is not there)
#   bash scripts/test.sh -k warp        arguments go to pytest; the end-to-end run is left out
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# One BLAS thread a process: two test processes on two cores, and equal bytes everywhere.
export OMP_NUM_THREADS=1

ruff check .
ruff format --check .
if [ $# -gt 0 ]; then
  exec python -m pytest "$@"
fi
python -m pytest -q -n 2 --dist loadscope
bash scripts/end_to_end.sh
