#!/usr/bin/env bash
# Single photos, three novel cameras each from the published list (warpgan/assets/novel_cameras.json): set
# distances and identity between photos and novel views, of the whole picture and of the face alone, beside
# the floors: photos against photos, and random faces of the generator. Ends in tables and an HTML page.
#   bash scripts/eval_celebahq.sh                        100 held-out portraits: minutes on 2 cores
#   bash scripts/eval_celebahq.sh /data/celebahq         images with dataset.json (folder or zip)
#   CAMERAS=/data/ffhq/dataset_rebalanced.json bash scripts/eval_celebahq.sh /data/celebahq
# Other settings: scripts/evaluation.sh. The same command continues an interrupted one.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/evaluation.sh"

words=("evaluate.protocol=novel_view" "data.portraits=${PHOTOS:-100}" ${CAMERAS:+"evaluate.cameras=$CAMERAS"})
if [ $# -gt 0 ]; then
  words+=("data.path=$1")
fi
evaluate_and_tabulate celebahq "${words[@]}"
