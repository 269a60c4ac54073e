PYTHON ?= python3
BIN := .venv/bin
# nbval compares every printed number and every sentence under a figure with the stored one. Lessons hold none:
# tests/test_trust.py runs each to its end. Two workers: every test and every kernel uses one thread. loadfile keeps a
# notebook's cells together.
WORKERS ?= 2
NBVAL := $(BIN)/python -m pytest --nbval --nbval-current-env --nbval-cell-timeout=60 -vv -p no:cacheprovider -n $(WORKERS) --dist loadfile solutions
# Kernels inherit these: the instruction set of a CPU of 2008, and two threads where the course uses one.
FOREIGN_CPU := ATEN_CPU_CAPABILITY=default MKL_ENABLE_INSTRUCTIONS=SSE4_2 ONEDNN_MAX_CPU_ISA=SSE41 GRADUTILS_THREADS=2 OMP_WAIT_POLICY=PASSIVE
# Jupyter refuses to run as root, which one is in a container, unless told; and without a display it would open a
# browser that lives in the terminal, where there is one.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
NO_WINDOW := $(if $(filter Darwin,$(shell uname)),,$(if $(DISPLAY)$(WAYLAND_DISPLAY)$(BROWSER),,--no-browser))
# Packages come uncompiled: what is imported first is compiled then, and kept, even where this variable forbids it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: lab test quick lint unit nbval nbval-foreign browser oldest teach notebooks site bench format lock binder-url
lab: .venv/lab.stamp
	@$(if $(AS_ROOT),echo "You are root: Jupyter is started with --allow-root.",:)
	@$(if $(NO_WINDOW),echo "No display: open in a browser the address that Jupyter prints below.",:)
	$(BIN)/jupyter lab $(AS_ROOT) $(NO_WINDOW) $(LAB_ARGS) lessons/00_start_here.ipynb

# -k: every part runs and prints its own summary; the exit status is non-zero if any of them failed.
test: .venv/test.stamp
	@$(MAKE) --no-print-directory -k lint unit nbval nbval-foreign browser
# While you work: lint, and the unit tests near what changed since main, for a minute at most.
quick: .venv/test.stamp lint
	$(BIN)/python -m tools.quick $(QUICK_ARGS)

# Lessons in the new form keep to 88 columns, which a reader's page has.
NARROW = --line-length 88 $(wildcard solutions/0[0-9]_*.py solutions/1[01]_*.py)
lint: .venv/test.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/ruff format --check $(NARROW) && $(BIN)/codespell
	$(BIN)/python -m tools.notebooks --check
unit: .venv/test.stamp
	$(BIN)/python -m pytest tests --ignore=tests/browser --ignore=tests/teach -n $(WORKERS) --dist worksteal
nbval: .venv/test.stamp
	$(NBVAL)
nbval-foreign: .venv/test.stamp
	$(FOREIGN_CPU) $(NBVAL)
browser: .venv/test.stamp
	$(BIN)/python -m pytest tests/browser -n $(WORKERS)

# nbgrader's round trip and a hub with six learners; `make test` has the light tests of both.
teach: .venv/test.stamp .venv-teach/proxy.stamp
	$(BIN)/python -m pytest tests/teach -n $(WORKERS) --dist worksteal
# The least versions that pyproject.toml takes, as hosts such as Colab carry them, in an environment of their own.
oldest: .venv-oldest/stamp
	.venv-oldest/bin/python -m tools.oldest
.venv-oldest/stamp: pyproject.toml requirements/oldest.in
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m tools.oldest --install
	@touch $@

notebooks: .venv/test.stamp
	$(BIN)/python -m tools.notebooks
	$(BIN)/python -m tools.front_figure
	$(BIN)/python -m tools.sessions
# The course as pages, in build/site: from what is stored, without network.
site: .venv/test.stamp
	$(BIN)/python -m tools.site
bench: .venv/bench.stamp
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)
format: .venv/test.stamp
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/ruff format $(NARROW)
# After requirements/direct.in or pyproject.toml changed. LOCK_ARGS=--upgrade takes the newest of what they leave free.
lock: .venv/bin/python
	$(BIN)/python -m tools.lock $(LOCK_ARGS)
binder-url:
	@$(PYTHON) -m tools.binder_url

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Say which: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
# INSTALL_ARGS=--pip does without uv.
.venv/lab.stamp: .venv/bin/python pyproject.toml requirements/direct.in requirements/lab.txt
	@echo "Installing into .venv: this happens once. The largest part, torch, is 200 MB."
	$(BIN)/python -m tools.install lab $(INSTALL_ARGS)
	@touch $@
.venv/test.stamp: .venv/lab.stamp requirements/dev.txt
	$(BIN)/python -m tools.install dev $(INSTALL_ARGS)
	@touch $@
# nbgrader and JupyterHub live beside the course too: nbgrader adds its buttons to every JupyterLab of its environment.
.venv-teach/teach.stamp: .venv/bin/python pyproject.toml requirements/direct.in requirements/teach.txt
	$(BIN)/python -m venv .venv-teach
	.venv-teach/bin/python -m tools.install teach $(INSTALL_ARGS)
	@touch $@
# What JupyterHub puts before itself; it needs node 20 or newer.
.venv-teach/proxy.stamp: .venv-teach/teach.stamp
	@command -v npm >/dev/null || { echo "JupyterHub's proxy needs node 20 or newer, with npm."; exit 1; }
	npm install --prefix .venv-teach --no-audit --no-fund --silent configurable-http-proxy@5.3.0
	@touch $@
# The peers live beside the course and see its packages, so that they cannot change them.
.venv/bench.stamp: .venv/test.stamp benchmarks/requirements.txt
	$(BIN)/python -m venv .venv-bench
	$(BIN)/python -c 'import site, glob; here = site.getsitepackages()[0]; there = glob.glob(".venv-bench/lib/python*/site-packages")[0]; open(there + "/course.pth", "w").write(f"import site; site.addsitedir({here!r})\n")'
	.venv-bench/bin/python -m pip install --disable-pip-version-check --quiet -c requirements/direct.in -r benchmarks/requirements.txt
	@touch $@
