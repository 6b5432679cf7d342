# Everything that a user or an engineer runs. Each target makes .venv first if it is missing.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo demo-gan test test-fast test-gpu lint format report bench bench-search pictures clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: .venv/installed ## install into .venv what the searches and the report need

.venv/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.14.1 torchvision==0.29.1
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: .venv/installed ## search T=20 with the LSTM and the RNN in minutes, and build the report
	$(BIN)/python tune_lstm.py --model rnn --num-samples 4 --max-steps 2000 --confirm 1 --finalists 1 --quiet \
		--name demo-rnn-$(STAMP)
	$(BIN)/python tune_lstm.py --num-samples 16 --max-steps 4000 --finalists 1 --name demo-lstm-$(STAMP)
	$(BIN)/python reports/build.py

demo-gan: .venv/installed ## search the GAN on scikit-learn's digits, and build the report
	$(BIN)/python tune_gan.py --dataset digits --num-samples 6 --name demo-gan-$(STAMP)
	$(BIN)/python reports/build.py

STAMP := $(shell date +%Y%m%d-%H%M%S)

test: .venv/installed-dev ## run the tests
	$(BIN)/python -m pytest

test-fast: .venv/installed-dev ## run the tests without Ray, browser and training
	FUZZ_EXAMPLES=10 $(BIN)/python -m pytest -n 2 -m "not slow and not ray and not training"

test-gpu: .venv/installed-dev ## run the tests that need a CUDA GPU
	$(BIN)/python -m pytest -n 0 -m gpu -rs

lint: .venv/installed-dev ## run ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

format: .venv/installed-dev ## let ruff format and correct the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

report: .venv/installed ## build the report of every run under runs/
	$(BIN)/python reports/build.py

bench: .venv/installed ## measure training steps, early stopping, the checks, and the cost of a trial
	$(BIN)/python -m benchmarks.lstm_step
	$(BIN)/python -m benchmarks.gan_step
	$(BIN)/python -m benchmarks.early_stopping
	$(BIN)/python -m benchmarks.checks
	$(BIN)/python -m benchmarks.trial_overhead

bench-search: .venv/installed .venv-bench/installed ## compare search strategies on recorded curves
	$(BIN)/python -m benchmarks.search

.venv-bench/installed: requirements-bench.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	touch $@

pictures: .venv/installed-dev ## make the pictures again: RUNS="runs/LSTM runs/GAN" (needs Chromium)
	$(BIN)/python docs/pictures.py $(RUNS)

clean: ## remove .venv, .venv-bench, caches and the built report, but not runs/
	rm -rf .venv .venv-bench reports/site .mypy_cache .ruff_cache .pytest_cache *.egg-info
