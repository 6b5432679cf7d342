# Everything a user or an engineer runs. Each target makes .venv first where it is missing.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo demo-gan test test-fast lint format report bench bench-search pictures clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: .venv/installed ## install what running needs into .venv

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: .venv/installed ## search T=20 in minutes on a laptop, the RNN beside it, and build the report
	$(BIN)/python tune_lstm.py --model rnn --num-samples 4 --max-steps 2000 --confirm 1 --quiet --name demo-rnn-$(STAMP)
	$(BIN)/python tune_lstm.py --num-samples 16 --max-steps 4000 --name demo-lstm-$(STAMP)
	$(BIN)/python reports/build.py

demo-gan: .venv/installed ## search the GAN on scikit-learn's digits, without a network, and build the report
	$(BIN)/python tune_gan.py --dataset digits --num-samples 6 --name demo-gan-$(STAMP)
	$(BIN)/python reports/build.py

STAMP := $(shell date +%Y%m%d-%H%M%S)

test: .venv/installed-dev ## the tests
	$(BIN)/python -m pytest

test-fast: .venv/installed-dev ## the tests that start neither Ray nor a browser and train nothing
	FUZZ_EXAMPLES=10 $(BIN)/python -m pytest -m "not slow and not ray and not training"

lint: .venv/installed-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

format: .venv/installed-dev ## let ruff format and mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

report: .venv/installed ## build the report of every run under runs/
	$(BIN)/python reports/build.py

bench: .venv/installed ## measure a training step, the early-stopping rules and what a trial costs beyond its work
	$(BIN)/python benchmarks/lstm_step.py
	$(BIN)/python benchmarks/gan_step.py
	$(BIN)/python benchmarks/early_stopping.py
	$(BIN)/python benchmarks/trial_overhead.py

bench-search: .venv/installed .venv-bench/installed ## compare search strategies on recorded learning curves
	$(BIN)/python -m benchmarks.search

.venv-bench/installed: requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

pictures: .venv/installed-dev ## make the README pictures again: make pictures RUNS="runs/LSTM runs/GAN" (needs Chromium)
	$(BIN)/python docs/pictures.py $(RUNS)

clean: ## remove .venv, .venv-bench, caches and the built report; runs/ stays
	rm -rf .venv .venv-bench reports/site .mypy_cache .ruff_cache .pytest_cache *.egg-info
