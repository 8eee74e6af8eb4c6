#!/bin/sh
# Runs in a builder container: installs a list of packages into the image's own Python with uv. What it
# exports is nowhere else, so that committing the container leaks none of it.
set -e
exec >>/atelier/log 2>&1 </dev/null
set -a
. /atelier/settings
set +a
export HOME=/tmp TMPDIR=/atelier/tmp UV_CACHE_DIR=/atelier/cache UV_NO_PROGRESS=1 UV_LINK_MODE=copy
# Lists written for pip expect pip's choice: the best version of all indexes.
export UV_INDEX_STRATEGY=unsafe-best-match
mkdir -p "$TMPDIR"
if [ -s /atelier/conda.yml ] && command -v micromamba mamba conda >/dev/null 2>&1; then
  for tool in micromamba mamba conda; do
    command -v "$tool" >/dev/null 2>&1 && { "$tool" env update -n base -f /atelier/conda.yml; break; }
  done
else
  /atelier/uv pip install --system --break-system-packages --compile-bytecode -r /atelier/requirements.txt
fi
/atelier/uv pip freeze --system >/atelier/packages
