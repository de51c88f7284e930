#!/bin/sh
# Install this checkout with all its extras: deploy/install.sh PYTHON [INDEX], with the PYTHON of a virtual environment.
#
# On Linux, PyPI's torch comes with gigabytes of CUDA libraries. INDEX has the build without them. It is used unless it
# is empty, cannot be reached within seconds, or pip is configured to find packages elsewhere.
set -eu
cd "$(dirname "$0")/.."
python="$1"
index="${2:-}"
torch="$(grep '^torch==' deploy/constraints.txt)"

torch_is_there() {
    "$python" -c 'import importlib.metadata, sys
try:
    version = importlib.metadata.version("torch")
except importlib.metadata.PackageNotFoundError:
    sys.exit(1)
sys.exit(version.partition("+")[0] != sys.argv[1])' "${torch#*==}"
}
pip_has_sources() {
    "$python" -m pip config list | grep -Eq '(index-url|find-links|no-index)='
}
index_answers() {
    timeout 10 "$python" -c 'import sys, urllib.request
urllib.request.urlopen(sys.argv[1], timeout=5)' "$index/torch/" 2>/dev/null
}

if torch_is_there; then
    echo "Downloading the packages in pyproject.toml that $python lacks; $torch is already installed."
elif test -n "$index" && test "$(uname -s)" = Linux && ! pip_has_sources && index_answers; then
    echo "Downloading $torch without CUDA from $index, and the other packages in pyproject.toml."
    "$python" -m pip install --quiet --no-deps --index-url "$index" "$torch" ||
        echo "$index has no $torch for this machine: pip will look elsewhere, perhaps for a build with CUDA."
else
    echo "Downloading the packages in pyproject.toml, including $torch, from pip's sources (PyPI's torch comes with CUDA)."
fi
"$python" -m pip install --quiet --constraint deploy/constraints.txt --editable '.[test,bench,evaluate]'
