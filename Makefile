# Everything a developer runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python
#: The versions of Kubernetes that are tested beside the default one.
OTHER_KUBERNETES = $(patsubst dev/cluster/go/kubernetes-%,%,$(wildcard dev/cluster/go/kubernetes-*))

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

.PHONY: tools
tools: $(VENV)/.complete ## Install Python and what the project needs into .venv (system packages by apt when root on Debian)

$(VENV)/.complete: requirements/dev.txt pyproject.toml
	@VENV=$(VENV) dev/bootstrap

.PHONY: demo demo-down
demo: tools ## Show it: a local cluster, the operator, an environment becoming ready; stays up
	@$(PY) -m dev.demo
demo-down: tools ## Stop the demo and remove every trace of it
	@$(PY) -m dev.demo down

.PHONY: programs
programs: tools ## Build the programs of the local cluster, once: the tests then start in seconds
	@$(PY) -m dev.cluster build

.PHONY: test test-unit test-integration test-e2e test-long
test: test-unit test-integration test-e2e ## Run all tests
test-unit: programs ## Run the tests that need nothing (the chart's need helm, which is built once)
	@$(PY) -m pytest -n 2 --dist loadgroup tests/unit
test-integration: programs ## Run the tests that need a control plane
	@$(PY) -m pytest -n 2 --dist loadfile -m integration tests/integration tests/chaos tests/api tests/scale
test-e2e: programs ## Run the tests that need a node: root on Linux
	@$(PY) -m pytest -m e2e tests
test-long: export BIOSPARK_LONG = 1
test-long: test test-versions ## Run all tests in their full form: every kill, every outage, every version of Kubernetes
.PHONY: test-versions
test-versions: programs ## Run the integration tests on the oldest and the newest Kubernetes, which are built once
	@for version in $(OTHER_KUBERNETES); do \
	  echo "==> Kubernetes $$version"; \
	  KUBERNETES=$$version $(PY) -m pytest -n 2 --dist loadfile -m integration tests/integration || exit 1; \
	done

.PHONY: bench
bench: programs ## Measure N environments, 100 by default, on a local cluster with fake nodes (KEEP=1 leaves it up)
	@$(PY) -m tests.scale --environments $(or $(N),100) $(if $(KEEP),--keep)

.PHONY: bench-databases
bench-databases: tools ## Measure N databases, 100 by default, on one PostgreSQL server
	@$(PY) -m tests.scale.databases --databases $(or $(N),100)
.PHONY: bench-api
bench-api: tools ## Measure the API service beside a reference in Node, on one PostgreSQL (ROUNDS=5)
	@$(PY) -m tests.scale.api_benchmark --rounds $(or $(ROUNDS),5) $(if $(PYTHON),--python $(PYTHON)) $(if $(NODE),--node $(NODE))

.PHONY: lint types
lint: tools ## Check style, formatting, layers, and the manifests of chart and environments (kube-score, built once)
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/lint-imports --no-cache
	@$(PY) -m dev.score
types: tools ## Check types
	@$(VENV)/bin/mypy

.PHONY: cluster-up cluster-down cluster-status
cluster-up: tools ## Start the local cluster (a node where possible; SIZE=control-plane for less)
	@$(PY) -m dev.cluster up $(if $(SIZE),--size $(SIZE))
cluster-down: tools ## Stop the local cluster and remove every trace of it
	@$(PY) -m dev.cluster down
cluster-status: tools ## Show what of the local cluster runs
	@$(PY) -m dev.cluster status

.PHONY: crd lock
crd: tools ## Generate the CRD and the reference pages from the models, and the verdicts on migrations
	@$(PY) -m biospark_operator.api.v1alpha1.crd > crds/biospark.ai_biosparkenvironments.yaml
	@cp crds/biospark.ai_biosparkenvironments.yaml charts/biospark-operator/files/
	@$(PY) -m biospark_operator.api.v1alpha1.limits_policy > charts/biospark-operator/files/limits.yaml
	@$(PY) -m biospark_operator.api.v1alpha1.reference
	@$(PY) -m biospark_operator.runtime.pages
	@$(PY) -m biospark_api.schema.losses
lock: tools ## Resolve the pinned requirements again
	@requirements/lock
