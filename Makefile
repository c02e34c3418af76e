# The README's commands. Each makes .venv first if it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A worker more than there are cores, as many tests wait for processes that they have started; one
# thread each: torch's threads would fight.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal


.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-nightly test-engine golden coverage lint types docs wheel bench results clean

help:  ## what make can do here
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | \
	    awk -F '\t' '{ printf "make %-12s %s\n", $$1, $$2 }'

demo: $(VENV)/ready  ## train a BiLSTM on Bach's chorales
	$(BIN)/seqbench task=music model=bilstm

test: $(VENV)/ready  ## the tests, without those that train or install end to end
	$(PYTEST) -m "not slow and not nightly"

test-all: lint  ## lint, types, every test but the nightly ones
	$(PYTEST) -m "not nightly"

test-nightly: lint  ## every test: whole products, where the others take samples
	SEQBENCH_EXAMPLES=2000 $(PYTEST)

test-engine: $(VENV)/ready  ## the recurrence engine and the models that run on it
	$(PYTEST) tests/nn tests/plugins

golden: $(VENV)/ready  ## are the numbers of short trials what they were? WRITE=1 keeps those of today
	$(BIN)/python tests/golden/trials.py $(if $(WRITE),--write)

coverage: lint  ## everything, and which lines it reached: slower
	$(PYTEST) --cov --cov-report=term

lint: types  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy cannot be told that three folders of this tree are packages inside seqbench, so it is shown a
# tree of links in which they are.
types: $(VENV)/ready  ## mypy, over everything
	rm -rf build/typed
	mkdir -p build/typed/seqbench
	ln -s $(addprefix ../../../,$(wildcard seqbench/*) conf plugins tasks) build/typed/seqbench
	$(BIN)/mypy

docs: $(VENV)/ready  ## what the pages take from the code, and their site: build/site
	$(BIN)/python docs/generate.py
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/properdocs build --quiet

wheel: $(VENV)/ready  ## build the wheel and train with it, beside nothing but what it depends on
	.ci/wheel

bench: $(VENV)/ready  ## speed ratios, measured side by side
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/harness_overhead.py
	$(BIN)/python benchmarks/recurrence.py
	$(BIN)/python benchmarks/step.py
	$(BIN)/python benchmarks/sweeps.py dispatch
	$(BIN)/python benchmarks/sweeps.py workers
	$(BIN)/python benchmarks/report.py

# Four tasks, six models, ten seeds. Speech trains one fold of six, and two tasks train for fewer
# epochs than their recipes: the report says so.
MATRIX := model=rnn,lstm,peephole,gru,bilstm,attention_lstm 'seed=range(10)' \
    hydra/launcher=local tracking.experiment=matrix
results: $(VENV)/ready  ## the full matrix and its report, docs/results/; an hour or two, what is done is kept
	$(BIN)/seqbench -m task=music,health/pbc $(MATRIX)
	$(BIN)/seqbench -m task=speech task.fold=0 recipe.max_epochs=12 $(MATRIX)
	$(BIN)/seqbench -m task=anomaly/watch recipe.max_epochs=5 $(MATRIX)
	$(BIN)/seqbench report tracking.experiment=matrix out=docs/results

clean:  ## remove .venv and what was built
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit( \
	    f"seqbench needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
