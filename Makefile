# The README's commands. Each makes .venv first if it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A worker for each core, one thread each: torch's threads would fight.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

.PHONY: demo test test-all lint bench results clean

demo: $(VENV)/ready  ## train a BiLSTM on Bach's chorales
	$(BIN)/seqbench task=music model=bilstm

test: $(VENV)/ready  ## the tests, without those that train or install end to end
	$(PYTEST) -m "not slow"

test-all: lint  ## everything, with coverage
	$(PYTEST) --cov --cov-report=term

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/ready  ## speed ratios, measured side by side
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/harness_overhead.py
	$(BIN)/python benchmarks/recurrence.py
	$(BIN)/python benchmarks/sweeps.py dispatch
	$(BIN)/python benchmarks/sweeps.py workers

results: $(VENV)/ready  ## every model on every task, and docs/results.md; hours, trials that are done are kept
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/results.py

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit( \
	    f"seqbench needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
