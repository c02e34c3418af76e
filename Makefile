# The README's commands. Each makes .venv first if it is missing or older than what it is made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A worker more than there are cores, as many tests wait for processes that they have started; one
# thread each: torch's threads would fight.
WORKERS := $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

.PHONY: demo test test-all golden coverage lint docs bench results clean

demo: $(VENV)/ready  ## train a BiLSTM on Bach's chorales
	$(BIN)/seqbench task=music model=bilstm

test: $(VENV)/ready  ## the tests, without those that train or install end to end
	$(PYTEST) -m "not slow"

test-all: lint  ## everything
	$(PYTEST)

golden: $(VENV)/ready  ## are the numbers of short trials what they were? WRITE=1 keeps those of today
	$(BIN)/python tests/golden/trials.py $(if $(WRITE),--write)

coverage: lint  ## everything, and which lines it reached: slower
	$(PYTEST) --cov --cov-report=term

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/ready  ## the parts of the documentation that are made from the code
	$(BIN)/python docs/generate.py

bench: $(VENV)/ready  ## speed ratios, measured side by side
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/harness_overhead.py
	$(BIN)/python benchmarks/recurrence.py
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

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit( \
	    f"seqbench needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
