# Two commands matter: `make demo` and `make test`.
PYTHON ?= python3
PIP = .venv/bin/python -m pip --disable-pip-version-check
TORCH ?= torch==2.13.0

.PHONY: demo test torture benchmarks clean

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12") if sys.version_info < (3, 11) else 0'
	@$(PYTHON) -m venv .venv || { echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install python3-venv"; rm -rf .venv; exit 1; }

.venv/.base: .venv/bin/python pyproject.toml
	@echo "Installing LoFi Empire into .venv ..."
	@$(PIP) install --quiet --editable .
	@touch $@

.venv/.dev: .venv/bin/python pyproject.toml
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet --editable '.[train,dev]'
	@touch .venv/.base $@

demo: .venv/.base  ## make one track with its video, thumbnail and listing
	.venv/bin/lofi make --mood chill --duration 1:00 --seed 7

test: .venv/.dev  ## install what the tests need, and run everything
	scripts/system_packages.sh
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/pyright
	.venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder

torture: .venv/.dev  ## the tests that take long: a training run stopped and resumed, a killed orchestrator, …
	scripts/system_packages.sh
	.venv/bin/pytest -m slow

benchmarks: .venv/.dev
	.venv/bin/python benchmarks/package.py --write
	.venv/bin/python benchmarks/generation.py --write
	.venv/bin/python benchmarks/jobs.py --write
	.venv/bin/python benchmarks/api.py --write
	.venv/bin/python benchmarks/dashboard.py --write

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
