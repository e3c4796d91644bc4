# Recipes that people and CI run. Each sets up its own virtual environment.
PYTHON ?= python3.11
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= demo-output
# For a quicker look: make demo SUBJECTS=2 FIT="--steps 20"
SUBJECTS ?= 8
FIT ?=

INPUTS ?= 100000

.PHONY: demo test trust fuzz test-engines test-slurm test-images gpu check fix constraints clean

# The main job on synthetic faces: render, prepare, train and test, report.
demo: $(VENV)/.installed
	rm -rf $(DEMO)
	$(BIN)/molprep demo $(DEMO)/database --layout samm --subjects $(SUBJECTS) --seed 0
	$(BIN)/molprep build --dataset samm --root $(DEMO)/database --out $(DEMO)/shards \
		--config pipelines/build/demo.yaml
	$(BIN)/molprep verify $(DEMO)/shards
	$(BIN)/molprep preview $(DEMO)/shards --out $(DEMO)/preview
	$(BIN)/moltrain fit --shards $(DEMO)/shards --out $(DEMO)/run --preset tiny $(FIT)
	@echo
	@echo "contact sheets: $(abspath $(DEMO))/preview/index.html"
	@echo "report:         $(abspath $(DEMO))/run/report.html"

# Everything that CI checks.
test: check
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15

# The long tests of what docs/trust.md promises: kills, flips, fuzz, hostile files. 15 minutes.
trust: $(VENV)/.installed
	$(BIN)/python -m tests.trust --page docs/trust.md --out benchmarks/results/trust.json

# Damaged documents for every reader: hours. INPUTS=10000 for fewer.
fuzz: $(VENV)/.installed
	MOL_FUZZ_INPUTS=$(INPUTS) $(BIN)/python -m pytest -q tests/fuzz

# The same bytes on every engine and in every weather; prints a table. TABLE="--out FILE" keeps it.
test-engines: $(VENV)/.installed
	$(BIN)/python -m tests.chaos $(TABLE)

# Jobs on a real SLURM, which is installed on this machine first: Debian, as root.
test-slurm: $(VENV)/.installed
	tests/slurm/install.sh
	$(BIN)/python -m pytest -m slurm tests/slurm

# Every image built by its engine, and the demo in it: Debian, as root, 16 minutes. PATHS="FILE DIR"
# for what pip needs from this machine.
test-images: $(VENV)/.installed
	$(BIN)/hadolint docker/*.Dockerfile
	docker/prove.sh $(PATHS)

# All that only a GPU can show, 8 minutes, on a machine with Python and torch: PYTHON=python3.
# GPU="--needs" says what to carry there; GPU="--wheels DIR" takes it from a folder.
gpu:
	$(PYTHON) benchmarks/gpu.py --out benchmarks/results/gpu.json $(GPU)

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[prep,train,fast,dev]'
	touch $@

# Write the versions of this environment down as the ones to install.
constraints: $(VENV)/.installed
	(echo "# Exact versions that the tests ran with; 'make' installs with them."; \
		$(BIN)/python -m pip freeze --exclude-editable | grep -v '^#' | sed 's/+cpu$$//') > constraints.txt

clean:
	rm -rf $(VENV) $(DEMO)
