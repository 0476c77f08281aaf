#!/bin/sh
# Fills an image's environment with locked packages: wheels only, checked by hash, compiled once,
# without the test suites that some of them carry.
#   install-libraries.sh REQUIREMENTS [PIP OPTIONS]
set -eu
requirements=$1
shift
/pip/bin/pip --python /opt/slipway/bin/python install --no-cache-dir --no-compile \
  --disable-pip-version-check --only-binary :all: --require-hashes -r "$requirements" "$@"
find /opt/slipway -type d -name tests -prune -exec rm -rf {} +
rm -rf /opt/slipway/lib/python3.*/site-packages/onnx/backend/test
/opt/slipway/bin/python /tmp/compile-libraries.py /opt/slipway
