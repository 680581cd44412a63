# Everything a developer runs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 22

.PHONY: tools
tools: $(VENV)/.complete ## Install Python and what the project needs into .venv (system packages by apt when root on Debian)

$(VENV)/.complete: requirements/dev.txt pyproject.toml
	@VENV=$(VENV) dev/bootstrap

.PHONY: cluster-up cluster-down cluster-status
cluster-up: tools ## Start the local cluster (a node where possible; SIZE=control-plane for less)
	@$(PY) -m dev.cluster up $(if $(SIZE),--size $(SIZE))
cluster-down: tools ## Stop the local cluster and remove every trace of it
	@$(PY) -m dev.cluster down
cluster-status: tools ## Show what of the local cluster runs
	@$(PY) -m dev.cluster status

.PHONY: crd lock
crd: tools ## Generate the CRD and the reference pages from the models
	@$(PY) -m biospark_operator.api.v1alpha1.crd > crds/biospark.ai_biosparkenvironments.yaml
	@cp crds/biospark.ai_biosparkenvironments.yaml charts/biospark-operator/files/
	@$(PY) -m biospark_operator.api.v1alpha1.reference
lock: tools ## Resolve the pinned requirements again
	@requirements/lock
