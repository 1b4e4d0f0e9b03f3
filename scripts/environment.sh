# Sourced by the scripts beside it: makes the Python environment once and puts it first on PATH.
#   WARPGAN_VENV   where it lives (default: .venv in the project)
#   PYTHON         the interpreter that makes it (default: python3.11, .12, .13, else python3)
# Under CI=true it is kept in the user's cache, named by the hash of what it is made from.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$project"
made_from=$(cat pyproject.toml scripts/constraints.txt | sha256sum | cut -c1-16)
if [ -z "${WARPGAN_VENV:-}" ]; then
  if [ "${CI:-}" = true ]; then
    WARPGAN_VENV="${XDG_CACHE_HOME:-$HOME/.cache}/warpgan/venv-$made_from"
  else
    WARPGAN_VENV="$project/.venv"
  fi
fi
export WARPGAN_VENV

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11 to 3.13 with venv is needed; set PYTHON=/path/to/python" >&2
  return 1
}

make_environment() {
  local python
  if [ "$(cat "$WARPGAN_VENV/made_from" 2>/dev/null)" != "$made_from" ]; then
    python=$(find_python)
    echo "Making the environment in $WARPGAN_VENV (about 6 GB, a few minutes) ..."
    "$python" -m venv "$WARPGAN_VENV"
    "$WARPGAN_VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
      --constraint scripts/constraints.txt --editable '.[dev]'
    echo "$made_from" >"$WARPGAN_VENV/made_from"
  elif [ "$(cat "$WARPGAN_VENV/project" 2>/dev/null)" != "$project" ]; then
    # A shared environment last used by another copy of the project: only the link changes.
    "$WARPGAN_VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
      --no-deps --editable .
  fi
  echo "$project" >"$WARPGAN_VENV/project"
  export PATH="$WARPGAN_VENV/bin:$PATH"
}

make_environment
