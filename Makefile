PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
TORCH := $(shell grep '^torch==' constraints.txt)
CPU_WHEELS := https://download.pytorch.org/whl/cpu
# nbval compares every printed number and every sentence under a figure with the stored one.
# Two workers: every test and every kernel uses one thread. loadfile keeps a notebook's cells together.
WORKERS ?= 2
NBVAL := $(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=60 -vv -p no:cacheprovider -n $(WORKERS) --dist loadfile solutions lessons
# Kernels inherit these: the instruction set of a CPU of 2008, and two threads where the course uses one.
FOREIGN_CPU := ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41 GRADUTILS_THREADS=2 OMP_WAIT_POLICY=PASSIVE

.PHONY: lab test lint unit nbval nbval-foreign browser notebooks bench format binder-url
lab: .venv/lab.stamp
	$(BIN)/jupyter lab $(LAB_ARGS) lessons/00_start_here.ipynb

# -k: every part runs and prints its own summary; the exit status is non-zero if any of them failed.
test: .venv/test.stamp
	@$(MAKE) --no-print-directory -k lint unit nbval nbval-foreign browser

lint: .venv/test.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/codespell
	$(BIN)/python -m tools.notebooks --check
unit: .venv/test.stamp
	$(BIN)/python -m pytest tests --ignore=tests/browser -n $(WORKERS) --dist worksteal
nbval: .venv/test.stamp
	$(NBVAL)
nbval-foreign: .venv/test.stamp
	$(FOREIGN_CPU) $(NBVAL)
browser: .venv/test.stamp
	$(BIN)/python -m pytest tests/browser -n $(WORKERS)

# Lesson 10 reads the verdicts from the other solutions, so it is built after them.
notebooks: .venv/test.stamp
	$(BIN)/python -m tools.notebooks
	$(BIN)/python -m tools.notebooks 10
	$(BIN)/python -m tools.front_figure
binder-url:
	@$(PYTHON) -m tools.binder_url
bench: .venv/bench.stamp
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)
format: .venv/test.stamp
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
# torch first and alone: with its dependencies in the same call pip would ask the second index for each of them.
.venv/lab.stamp: .venv/bin/python pyproject.toml constraints.txt
	@echo "Installing into .venv. This happens once and takes a few minutes."
	$(PIP) --no-deps --retries 1 --timeout 10 --extra-index-url $(CPU_WHEELS) $(TORCH)
	$(PIP) -c constraints.txt -e '.[lab]'
	@touch $@
.venv/test.stamp: .venv/lab.stamp
	$(PIP) -c constraints.txt -e '.[lab,dev]'
	@touch $@
# The peers live beside the course and see its packages, so that they cannot change them.
.venv/bench.stamp: .venv/test.stamp benchmarks/requirements.txt
	$(BIN)/python -m venv .venv-bench
	$(BIN)/python -c 'import site, glob; here = site.getsitepackages()[0]; there = glob.glob(".venv-bench/lib/python*/site-packages")[0]; open(there + "/course.pth", "w").write(f"import site; site.addsitedir({here!r})\n")'
	.venv-bench/bin/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -r benchmarks/requirements.txt
	@touch $@
