# Every command makes its virtual environment first. Needs python3 (3.11 or later) and make; `make help` lists them.
PYTHON ?= python3
VENV := .venv
REQUIREMENTS := requirements.txt
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What differs between machines is stripped from stored notebooks; the outputs stay.
STRIP := --keep-output --keep-count --keep-id --extra-keys "metadata.language_info.version metadata.widgets cell.metadata.execution"
# What stands in the pages between [[[cog ...]]] and [[[end]]] is written by tests/pages.py.
COG := -P -I tests

.PHONY: help lab report lite test test-fast test-lower test-changes test-browser test-lite bench coverage check format

help:  ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

lab: $(READY)  ## make the features once, then open JupyterLab on the notebooks
	$(BIN)/python -m hw1lib lab

report: $(READY)  ## run every notebook on HW1_DATA (or the stand-in), write report/index.html
	HW1_SCALE=$${HW1_SCALE:-full} $(BIN)/python -m hw1lib report

lite: $(READY)  ## the browser edition, lite/site: a folder of static files that any web server serves
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r lite/requirements.txt
	$(BIN)/python lite/build.py

# The tests, and every notebook run as a test, on a small stand-in with a cache of its own.
test test-fast test-changes test-browser coverage: export HW1_FACES = 1500
test test-fast test-changes test-browser coverage: export HW1_SCALE = quick
test test-fast test-changes test-browser coverage: export HW1_CACHE = $(CURDIR)/.cache/test
test test-fast test-changes test-browser coverage: export HW1_DATA =
test: $(READY)  ## the tests, and every notebook as a test
	$(BIN)/python -m hw1lib prepare
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval-lax --nbval-current-env --nbval-cell-timeout=300 tests notebooks

test-fast: $(READY)  ## the tests without notebooks, killed runs and damage at random: for whoever edits
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow" tests

test-lower:  ## test-fast with the oldest versions that pyproject.toml allows, on the oldest Python: PYTHON=python3.11
	mkdir -p .cache/lower
	$(PYTHON) tests/lower_bounds.py > .cache/lower/requirements.txt
	$(MAKE) test-fast VENV=.cache/lower/venv REQUIREMENTS=.cache/lower/requirements.txt

test-changes: $(READY)  ## what a reader would change, one by one, each notebook to its end (eight minutes)
	$(BIN)/python -m hw1lib prepare
	$(BIN)/python -m pytest -q -n 2 tests/changes/check_changes.py

test-browser: $(READY)  ## every notebook in JupyterLab, and the report, in the system's Chromium or Chrome
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/browser/requirements.txt
	$(BIN)/python -m hw1lib prepare
	$(BIN)/python -m pytest -q tests/browser/check_report.py tests/browser/check_lab.py

test-lite: lite  ## all notebooks and the homework in the browser edition (half an hour)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/browser/requirements.txt
	HW1_LITE_ALL=1 $(BIN)/python -m pytest -q tests/browser/check_lite.py

bench: $(READY)  ## every speed as a ratio to a peer's, taken side by side (twenty minutes; keep the machine quiet)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r tests/benchmarks/requirements.txt
	$(BIN)/python tests/benchmarks/run.py

coverage: $(READY)  ## which lines and branches of hw1lib the tests run
	$(BIN)/python -m coverage run -m pytest -q tests
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

check: $(READY)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/nbstripout --verify $(STRIP) notebooks/*.ipynb

format: $(READY)  ## mend lint and format, renew the pages' tables, strip from notebooks what differs between machines
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout $(STRIP) notebooks/*.ipynb
	$(BIN)/cog -r $(COG) README.md MODEL_CARD.md PROTOCOL.md tests/benchmarks/README.md hw1lib/show/assets/printed_cells.txt

$(READY): $(REQUIREMENTS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hw1lib needs Python 3.11 or later; set PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(PYTHON) -c 'import sys; print("This Python makes no virtual environments: install the package python3.%d-venv (Debian, Ubuntu)" % sys.version_info[1])'; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(REQUIREMENTS)
	@touch $@
