#!/bin/sh
# Rewrites every lock file from pyproject.toml: one resolution for development, and from it one
# file per image and one for `make demo`, so that all of them agree on every version.
set -eu
cd "$(dirname "$0")/.."
UV=${UV:-uv}
compile() { # compile OUTPUT ARGS...
  out=$1; shift
  "$UV" pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet "$@" -o "$out"
}
compile tests/requirements.txt --extra dev
pins=$(mktemp); trap 'rm -f "$pins"' EXIT
grep -E '^[A-Za-z0-9_.-]+==' tests/requirements.txt | sed 's/ *\\$//' >"$pins"
compile examples/requirements.txt --extra demo --constraint "$pins"
compile operator/requirements.txt --extra operator --constraint "$pins"
for extra in server compile optimizer optimizer-classic; do
  compile "runtime-image/requirements-$extra.txt" --extra "$extra" --constraint "$pins"
done
for image in server optimizer; do
  for extra in "$image-openvino" "$image-cuda"; do
    compile "runtime-image/requirements-$extra.txt" --extra "$extra" --constraint "$pins"
  done
done
# Frameworks ask for a protobuf of their own: it is the one thing in which they may differ.
sed -i '/^protobuf==/d' "$pins"
for extra in optimizer-torch optimizer-tensorflow optimizer-mindspore; do
  compile "runtime-image/requirements-$extra.txt" --extra "$extra" --constraint "$pins"
done
"$UV" pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --quiet tests/interop/requirements.in \
  -o tests/interop/requirements.txt
