# make help says what there is. Nothing here needs more than Python >= 3.11 and make, unless its
# line says so.
PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
SOURCES := operator/src runtime-image/src runtime-image/*.py tests benchmarks examples
MODULES := slipway slipway_operator slipway_local slipway_cli
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-conversions e2e check fix generate cluster-up cluster-down images lock clean campaign interop \
  bench-operator bench-local bench-serving bench-optimizer

help: ## show this
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/' | expand -t 18

demo: ## the whole lifecycle on this machine, no cluster: about a minute
	@python=$$($(MAKE) -s demo-python) && exec $$python -m examples.demo

.PHONY: demo-python
demo-python:
	@if [ -f $(VENV)/.installed ]; then echo $(VENV)/bin/python; \
	else $(MAKE) -s $(DEMO_VENV)/.installed >&2 && echo $(DEMO_VENV)/bin/python; fi

test: $(VENV)/.installed ## every test that needs no cluster
	@$(VENV)/bin/python -m tests.cluster build s3 || echo "versitygw could not be built: tests of S3 are skipped (set SLIPWAY_TEST_S3_ENDPOINT to use a server of yours)"
	@$(VENV)/bin/python -m tests.cluster build helm || echo "helm could not be built: tests of the chart are skipped"
	@$(VENV)/bin/python -m tests.cluster build http2 || echo "h2spec and grpc-go could not be built: tests with them are skipped"
	@$(VENV)/bin/python -m tests.support.compiled >/dev/null || echo "the server could not be compiled: its tests run it interpreted"
	@# In the order of the tree the long files come first: else the longest begins last, alone.
	$(VENV)/bin/python -m pytest --ignore=tests/e2e -n 2 --dist loadfile --no-loadscope-reorder

test-conversions: $(VENV)/.installed ## PyTorch, TensorFlow and MindSpore models, and OpenVINO, each in an environment of its own (10 GB, made once)
	$(VENV)/bin/python -m tests.conversions $(FRAMEWORKS)

e2e: $(VENV)/.installed ## the lifecycle on a real Kubernetes: KUBECONFIG's, else one built and started here (root, Debian)
	$(VENV)/bin/python -m tests.e2e $(OPTIONS)

check: $(VENV)/.installed ## generate, format, lint, types, import contracts; fails on a dirty tree
	@$(MAKE) --no-print-directory -j2 check-types check-rest
	@dirty=$$(git status --porcelain); test -z "$$dirty" || { echo "the tree is dirty:"; echo "$$dirty"; exit 1; }

.PHONY: check-types check-rest
check-types: # takes longest: the rest runs beside it
	$(VENV)/bin/mypy $(SOURCES)

check-rest:
	$(VENV)/bin/python -m slipway_operator.generate --check
	$(VENV)/bin/ruff format --check $(SOURCES)
	$(VENV)/bin/ruff check $(SOURCES)
	$(VENV)/bin/lint-imports --no-logo

fix: $(VENV)/.installed ## generate, format, and mend what ruff can
	@$(MAKE) -s generate
	$(VENV)/bin/ruff format $(SOURCES)
	$(VENV)/bin/ruff check --fix $(SOURCES)

generate: $(VENV)/.installed ## write crds/, the chart's copy, RBAC rules and docs/reference from the API models
	$(VENV)/bin/python -m slipway_operator.generate --write
	$(VENV)/bin/python -m slipway_server.doors.openapi >docs/reference/openapi.json

cluster-up: $(VENV)/.installed ## a real Kubernetes on this machine, for trying by hand (root, Debian)
	$(VENV)/bin/python -m tests.cluster up

cluster-down: ## end it and leave nothing
	$(PYTHON) -m tests.cluster down

images: ## build the container images with docker, podman or buildah
	runtime-image/build-images.sh

interop: $(VENV)/.installed ## clients that need an environment of their own: KServe's
	$(VENV)/bin/python -m tests.interop

campaign: $(VENV)/.installed ## hours: ONNX's own operator cases served, silent clients, 10^6 requests, RESTARTS (1000) rolling restarts, fuzzing (OPTIONS="--seconds 60" for less)
	$(VENV)/bin/python -m tests.campaign.operator_cases
	$(VENV)/bin/python -m tests.campaign.idle_connections
	$(VENV)/bin/python -m tests.campaign.requests_memory
	$(VENV)/bin/python -m tests.campaign.rolling_restarts --restarts $(or $(RESTARTS),1000)
	$(VENV)/bin/python -m tests.fuzz $(OPTIONS)

bench-operator: $(VENV)/.installed ## writes, memory and speed against a real kube-apiserver
	$(VENV)/bin/python -m benchmarks.control_plane

bench-local: $(VENV)/.installed ## slipway local: time to ready and to Healthy
	$(VENV)/bin/python -m benchmarks.local

bench-serving: $(VENV)/.installed ## server start, latency and throughput against raw ONNX Runtime; overload
	$(VENV)/bin/python -m benchmarks.serving
	$(VENV)/bin/python -m benchmarks.serving.overload

bench-optimizer: $(VENV)/.installed ## what the optimizer picks, and what that gains
	$(VENV)/bin/python -m benchmarks.optimizer

lock: ## resolve the locked requirements anew (needs uv)
	tests/lock.sh

clean: ## remove environments and caches of this folder
	rm -rf $(VENV) $(DEMO_VENV) .venv-interop .venv-torch .venv-tensorflow .venv-mindspore .venv-openvino .mypy_cache .ruff_cache .pytest_cache .hypothesis .slipway

$(VENV)/.installed: tests/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@# Python compiles what it imports; pip would compile ten times as much.
	$(VENV)/bin/python -m pip install -q --no-compile --require-hashes -r tests/requirements.txt
	$(VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

$(DEMO_VENV)/.installed: examples/requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; set PYTHON=..." >&2; exit 1; }
	@echo "setting up $(DEMO_VENV) from the locked requirements (once)"
	$(PYTHON) -m venv $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install -q --no-compile --require-hashes -r examples/requirements.txt
	$(DEMO_VENV)/bin/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@
