# Sourced by eval_mead.sh and eval_celebahq.sh: which models are compared, and how.
#   METHODS    words: methods of configs/method, or "all" (adds the methods that optimise: minutes a photo)
#   WEIGHTS    mini (shipped, 128 px) or official (files you fetch: python -m warpgan.weights list)
#   ENCODER SVINET GEOMETRY METRICS BASELINES    one by one, such as ENCODER=runs/my_run SVINET=runs/my_svinet
#   PROCESSES  how many evaluate; the numbers are the same
#   OUT        where the run and the tables go (default runs/eval_NAME)
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
METHODS="${METHODS:-encoder warp_fill warpgan}"
[ "$METHODS" = all ] && METHODS="sg2_w sg2_wplus pti hfgi3d psp encoder warp_fill warpgan"
if [ "${WEIGHTS:-mini}" = official ]; then
  ENCODER="${ENCODER:-encoder_warpgan}" SVINET="${SVINET:-svinet_warpgan}" GEOMETRY="${GEOMETRY:-official}"
  METRICS="${METRICS:-full}" BASELINES="${BASELINES:-full}"
fi
PROCESSES="${PROCESSES:-1}"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-$(($(nproc) / PROCESSES > 0 ? $(nproc) / PROCESSES : 1))}"

# evaluate_and_tabulate NAME KEY=VALUE...: the run, then Markdown, LaTeX, CSV and the page.
evaluate_and_tabulate() {
  local name="$1" out method words
  shift
  out="${OUT:-runs/eval_$name}"
  words=(
    "run.name=$(basename "$out")" "paths.runs=$(dirname "$out")"
    "evaluate.encoder=${ENCODER:-encoder_mini}" "metrics=${METRICS:-mini}" "baselines=${BASELINES:-mini}"
    "evaluate.timing=20" "evaluate.reference=warpgan" "$@"
  )
  local chosen="$METHODS photo_itself generator_samples"
  words+=("method=[${chosen// /,}]")
  for method in $chosen; do
    case "$method" in
      warpgan) words+=("method.warpgan.svinet=${SVINET:-svinet_mini}") ;;&
      warp | warp_fill | warpgan) words+=("geometry@method.$method.geometry=${GEOMETRY:-mini}") ;;
    esac
  done
  if [ "$PROCESSES" -gt 1 ]; then
    torchrun --nproc-per-node "$PROCESSES" -m warpgan.evaluate "${words[@]}"
  else
    python -m warpgan.evaluate "${words[@]}"
  fi
  python -m warpgan.tables "$out" --out "$out/tables" --reference warpgan
}
