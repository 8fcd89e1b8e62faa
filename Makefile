# `make train` and `make test` work on a fresh clone with Python 3.11, make and git.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
PYTEST := $(PY) -m pytest -n 2 --dist worksteal

SIMULATORS := nec2c ngspice
DEV := dev

# What is imported is compiled once, whatever the system says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: train test test-thorough test-slow check clean simulators

train: .venv/installed
	$(PY) train.py --env nondiff/PandaReachDense-v0 --strategy ppo --seed 0

test: .venv/installed-dev
	$(PYTEST)

test-thorough: .venv/installed-dev
	$(PYTEST) -m "thorough and not slow"

test-slow: .venv/installed-dev
	$(PYTEST) -m slow

check: .venv/installed-dev
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	MYPY_NUM_WORKERS=2 $(PY) -m mypy

# The external programs that some environments run, by Debian's packages.
simulators:
	@command -v apt-get >/dev/null || { echo "This installs Debian packages, and there is no apt-get here: \
	  install $(SIMULATORS) in your system's way, then look at 'nondiff doctor'."; exit 1; }
	@[ "$$(id -u)" = 0 ] || command -v sudo >/dev/null || { echo "Say as root: make simulators"; exit 1; }
	$$([ "$$(id -u)" = 0 ] || echo sudo) apt-get update -qq
	$$([ "$$(id -u)" = 0 ] || echo sudo) apt-get install -y -qq $(SIMULATORS)

clean:
	rm -rf .venv build dist *.egg-info

# `train` needs no tools of developers. Only modules that are imported are compiled, as they are first
# imported, which takes half the time of compiling all of them here.
.venv/installed-dev: EXTRAS := [$(DEV)]
.venv/installed .venv/installed-dev: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is missing: install it, or say make PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || \
	  { echo "$(PYTHON) is not Python 3.10 to 3.13: say make PYTHON=/path/to/python"; exit 1; }
	"$(PYTHON)" -m venv .venv
	$(PY) -m pip install --quiet --no-compile --constraint constraints.txt --editable '.$(EXTRAS)'
	@touch .venv/installed $@
