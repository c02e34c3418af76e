# The README's commands. Each makes .venv first if it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all lint bench clean

demo: $(VENV)/ready  ## train a BiLSTM on Bach's chorales
	$(BIN)/seqbench task=music model=bilstm

test: $(VENV)/ready  ## the tests, without those that train or install end to end
	$(BIN)/python -m pytest -m "not slow"

test-all: lint  ## everything, with coverage
	$(BIN)/python -m pytest --cov --cov-report=term

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready  ## speed ratios, measured side by side
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/harness_overhead.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
