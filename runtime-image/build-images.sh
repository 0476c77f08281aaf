#!/bin/sh
# Builds Slipway's images with docker, podman or buildah, whichever is here.
set -eu

usage() {
  cat <<'END'
Usage: build-images.sh [OPTION...] [IMAGE...] [-- BUILD-FLAG...]

Builds the images operator, server, optimizer and optimizer-classic, or those that are named:
also optimizer-torch (6 GB with CUDA; with -- --build-arg TORCH_INDEX_URL=URL of an index with CPU
builds a fifth of it), optimizer-tensorflow and optimizer-mindspore, and for other execution
providers server-openvino, optimizer-openvino, server-cuda and optimizer-cuda.
Each gets the name PREFIXslipway-IMAGE:TAG. What follows -- goes to the engine's build command.

  --tag TAG             default: the version in pyproject.toml
  --prefix PREFIX       for example my-registry.example/team/   default: none
  --base-image IMAGE    default: the one in the Dockerfiles, python:3.12-slim
  --push                push each image after it is built
  --engine COMMAND      default: the first of docker, podman and buildah that is here
  -h, --help            this text
END
}

cd "$(dirname "$0")/.."
tag=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
prefix= base= push= engine= images=
while [ $# -gt 0 ]; do
  case $1 in
    --tag) tag=$2; shift ;;
    --prefix) prefix=$2; shift ;;
    --base-image) base=$2; shift ;;
    --engine) engine=$2; shift ;;
    --push) push=yes ;;
    -h | --help) usage; exit 0 ;;
    --) shift; break ;;
    operator | server | optimizer | optimizer-classic) images="$images $1" ;;
    optimizer-torch | optimizer-tensorflow | optimizer-mindspore) images="$images $1" ;;
    server-openvino | optimizer-openvino | server-cuda | optimizer-cuda) images="$images $1" ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

if [ -z "$engine" ]; then
  # A docker client alone builds nothing: ask for its engine, too.
  if docker info >/dev/null 2>&1; then engine=docker
  elif command -v podman >/dev/null; then engine=podman
  elif command -v buildah >/dev/null; then engine=buildah
  else echo "None of docker (with a running engine), podman and buildah is here." >&2; exit 1
  fi
fi

for image in ${images:-operator server optimizer optimizer-classic}; do
  name=${prefix}slipway-$image:$tag
  case $image in
    operator) file=operator/Dockerfile ;;
    *) file=runtime-image/Dockerfile ;;
  esac
  # $engine may carry flags of its own: it is split into words on purpose.
  $engine build -f "$file" --target "$image" ${base:+--build-arg "BASE_IMAGE=$base"} \
    -t "$name" "$@" .
  if [ -n "$push" ]; then $engine push "$name"; fi
  echo "built $name"
done
