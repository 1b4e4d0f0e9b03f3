#!/usr/bin/env bash
# Table 2 on portraits: trains rows C D E F G and the released plain network, equal steps, two seeds,
# evaluates them with rows A and B on held-out people, and writes one table.
#   bash scripts/ablation.sh                    continues where it stopped; table in runs/ablation/table2.md
#   STEPS=300 SEEDS="1 2" ROWS="G E" bash scripts/ablation.sh
# Row A is the encoder's inversion and B the warp with the generator's view in its holes: nothing to train.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# One thread is the fastest a second of CPU time on a machine that does anything else.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
STEPS="${STEPS:-500}"
SEEDS="${SEEDS:-1 2}"
ROWS="${ROWS:-G C D E F nostyle}"
PEOPLE="${PEOPLE:-40}"
ENCODER="${ENCODER:-encoder_mini}"
RUNS="${RUNS:-runs}"
VIEWS="${VIEWS:-cache/views/mini}"

# The views of all runs, made once; photos are drawn from the same portraits.
python -m warpgan.precompute views.encoder="$ENCODER" cache_dir="$VIEWS"

methods=("method=[]"
  "+method.row_A={_target_: warpgan.methods.build.encoder, _partial_: true}"
  "+method.row_B={_target_: warpgan.methods.build.warp, _partial_: true, fill: true}"
  "+geometry@method.row_B.geometry=mini")
for seed in $SEEDS; do
  for row in $ROWS; do
    name="ablation_${row}_seed${seed}"
    choice=(ablation="$row")
    [ "$row" = nostyle ] && choice=(ablation=G svinet=nostyle svinet.output=residual)
    # A finished run ends at once; one of other STEPS is refused, so that all rows have equal steps.
    python -m warpgan.train_svinet "${choice[@]}" run.name="$name" run.seed="$seed" \
      paths.runs="$RUNS" train.steps="$STEPS" views.cache="$VIEWS" views.encoder="$ENCODER" \
      train.mixed_precision=bf16 eval.every=0 train.image_every=0 train.log_every=50
    method="row_${row}_seed${seed}"
    methods+=("+method.$method={_target_: warpgan.methods.build.warpgan, _partial_: true, svinet: $RUNS/$name}"
      "+geometry@method.$method.geometry=mini")
  done
done

python -m warpgan.evaluate run.name=ablation paths.runs="$RUNS" evaluate.protocol=multi_view \
  evaluate.encoder="$ENCODER" data.portraits="$PEOPLE" evaluate.pictures=0 metrics.registered=false \
  evaluate.save_views=false "${methods[@]}"
python -m warpgan.ablation_table "$RUNS/ablation" --reference G
