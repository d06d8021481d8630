# SPDX-License-Identifier: Apache-2.0
# GradCore: everything that one does from a checkout. `make help` lists the targets. All of them set up .venv/ by themselves.

PYTHON ?= python3
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := requirements/constraints.txt
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

# Debian packages, each with what shows that it is there.
PACKAGES_RUN := g++=g++ make=make perl=perl liblz4-dev=/usr/include/lz4.h zlib1g-dev=/usr/include/zlib.h
PACKAGES_ARM := gcc-arm-linux-gnueabihf=arm-linux-gnueabihf-gcc libc6-dev-armhf-cross=/usr/arm-linux-gnueabihf/lib/libc.a qemu-user=qemu-arm device-tree-compiler=dtc
PACKAGES_TEST := $(PACKAGES_RUN) iverilog=iverilog ccache=ccache tcl=tclsh chromium=chromium cpp-arm-linux-gnueabihf=arm-linux-gnueabihf-cpp $(PACKAGES_ARM)

# $(call debian,packages): install what is missing, through apt-get.
define debian
missing=(); \
for item in $(1); do \
  probe="$${item#*=}"; \
  if [[ "$$probe" == /* ]]; then [[ -e "$$probe" ]] || missing+=("$${item%%=*}"); \
  else command -v "$$probe" >/dev/null || missing+=("$${item%%=*}"); fi; \
done; \
if (( $${#missing[@]} )); then \
  if [[ "$$(id -u)" != 0 ]] || ! command -v apt-get >/dev/null; then \
    echo "GradCore needs packages that are not installed: as root, run: apt-get install $${missing[*]}" >&2; exit 2; \
  fi; \
  echo "installing $${missing[*]}" >&2; \
  export DEBIAN_FRONTEND=noninteractive; \
  apt-get update -qq >&2; \
  apt-get install -qq -y --no-install-recommends "$${missing[@]}" >&2; \
fi
endef

.PHONY: help setup explain check test coverage regress regress-merge formal mutate accept-cycles accept-resources lint format registers core-file waves pages pictures constraints try-versions bitstream clean distclean
.DEFAULT_GOAL := help

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | while IFS=$$'\t' read -r name text; do \
	  printf '  make %-16s %s\n' "$$name" "$$text"; done

setup: $(VENV)/.ready-test  ## The virtual environment in .venv, with everything for development

explain: export IMAGE := $(value IMAGE)
explain: export METHOD := $(value METHOD)
explain: $(VENV)/.ready-run  ## Explain a picture with the simulated Verilog: IMAGE=file METHOD=saliency, guided, gradcam ... (gradcore methods), both optional
	@$(BIN)/gradcore explain $${METHOD:+--method "$$METHOD"} $${IMAGE:+-- "$$IMAGE"}

# What `make check` runs beside the lint: the models' arithmetic and mathematics, and every kind of layer by each method in the small core.
CHECKS := "tests/test_system.py::test_icarus[small-0.0]" tests/test_network_model.py::test_equals_autograd_where_nothing_is_rounded \
  tests/test_arithmetic.py tests/test_numbers.py tests/test_specification.py tests/test_lint.py tests/test_verification_plan.py

check: $(VENV)/.ready-test  ## In under a minute: lint, models, one run of the small core; before each commit
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run make format" >&2; exit 1; }
	@$(BIN)/python -m verification.verilog_format
	@imports="$$($(BIN)/lint-imports --no-logo --no-cache)" || { echo "$$imports" >&2; exit 1; }
	@$(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal $(CHECKS) $(PYTEST)

test: $(VENV)/.ready-test  ## All tests; WAVES=1 keeps waveforms, GRADCORE_SEED=n replays a run
	@rm -rf build/evidence/test
	$(BIN)/python -m pytest -n $(JOBS) --evidence build/evidence/test --check-plan $(PYTEST)

coverage: $(VENV)/.ready-test  ## Lines, toggles and functional coverage of benches and core: build/coverage/index.html (compiles all in Verilator once more)
	@rm -rf build/evidence/coverage
	GRADCORE_COVERAGE=1 $(BIN)/python -m pytest -q -n $(JOBS) --evidence build/evidence/coverage tests/test_benches.py tests/test_system*.py \
	  -k "(test_bench and verilator) or (test_system and not icarus)" $(PYTEST) || status=$$?; \
	$(BIN)/python -m verification.coverage build/evidence/coverage build/coverage/index.html || status=$$?; exit $${status:-0}

regress: $(VENV)/.ready-test  ## The benches of the Verilog with RUNS=8 seeds derived from SEED (printed; default: a fresh one); SHARD=i/n runs a part
	@$(BIN)/python -m verification.regress run --seed "$(SEED)" --runs "$(RUNS)" --shard "$(SHARD)" --jobs "$(JOBS)" $(PYTEST)

regress-merge: $(VENV)/.ready-test  ## One report of all shards of SEED and RUNS=8, in build/regress/
	@$(BIN)/python -m verification.regress merge --seed "$(SEED)" --runs "$(RUNS)"

formal: $(VENV)/.ready-test  ## Prove the leaf cells (SymbiYosys, Z3), and that each proof finds a planted bug: CELLS="fifo ...", optional
	@$(BIN)/python -m verification.formal $(CELLS)

mutate: $(VENV)/.ready-test  ## Faults in the Verilog, one at a time, that benches must notice (hours): SEED=n COUNT=450 MODULES="fifo ...", optional
	$(BIN)/python -m verification.mutate $(if $(SEED),--seed "$(SEED)") $(if $(COUNT),--count "$(COUNT)") --jobs "$(JOBS)" --report $(if $(MODULES),--modules $(MODULES))

accept-cycles: $(VENV)/.ready-test  ## Measure the cycles of each layer and write them to tests/expected/, where they are the limit
	GRADCORE_ACCEPT=1 $(BIN)/python -m pytest -q tests/test_cycles.py

accept-resources: $(VENV)/.ready-test  ## Synthesise all presets and accept what they need as the new measure (minutes)
	$(BIN)/python -m gradcore.synthesis.accept tests/expected/resources.json tests/measured_designs.json

lint: $(VENV)/.ready-test  ## Verilator -Wall, Icarus -Wall, ruff, the formatters of Python and Verilog, who may import whom, and the rules of the sources
	$(BIN)/ruff check .
	$(BIN)/ruff format --diff .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/python -m verification.verilog_format
	$(BIN)/python -m pytest -q -n $(JOBS) tests/test_lint.py

format: $(VENV)/.ready-test  ## Write the sources as the formatters want them
	$(BIN)/ruff format .
	$(BIN)/python -m verification.verilog_format --write

registers: $(VENV)/.ready-test  ## Generate what is derived from registers/gradcore.rdl
	$(BIN)/python -m registers.generate

core-file: $(VENV)/.ready-test  ## Generate gradcore.core (FuseSoC), the instantiation template and the example, in integration/
	$(BIN)/python -m integration.generate

waves: $(VENV)/.ready-test  ## Generate the wave views of the units, for GTKWave and Surfer, in verification/waves/
	$(BIN)/python -m verification.waves

pages: $(VENV)/.ready-test  ## Bring the tables of ports in the units' pages up to date
	$(BIN)/python -m verification.pages

pictures: $(VENV)/.ready-test  ## Draw the pictures of results in docs/images/ anew; runs the Verilog once
	$(BIN)/python -m verification.pictures

constraints: $(VENV)/.ready-test  ## Write the versions installed in .venv to requirements/constraints.txt, after an upgrade
	$(BIN)/python requirements/write_constraints.py

try-versions: $(VENV)/.ready-test  ## Try the oldest and the newest versions that pyproject.toml allows (downloads several GB)
	$(BIN)/python requirements/try_versions.py oldest
	$(BIN)/python requirements/try_versions.py newest

bitstream: $(VENV)/.ready-run  ## Bitstream for the PYNQ-Z2 with Vivado, in build/vivado/: PRESET=small|paper|full CLOCK=100|150, both optional
	@$(BIN)/python vivado/bitstream.py --preset "$(or $(PRESET),full)" --clock "$(or $(CLOCK),100)"

clean:  ## Remove builds and caches; of a checkout with a space or such in its path also what it builds in the temporary folder
	rm -rf build dist .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +
	@for place in "$${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do \
	  for folder in "$$place"/gradcore-benches-"$$(id -u)"-*; do \
	    if [[ -O "$$folder" && ! -L "$$folder" && -L "$$folder/root" ]] && [[ "$$folder/root" -ef . || ! -e "$$folder/root" ]]; then \
	      echo "rm -rf $$folder"; rm -rf "$$folder"; fi; done; done

distclean: clean  ## Remove .venv, too
	rm -rf $(VENV)

$(VENV)/.created:
	@command -v $(PYTHON) >/dev/null || { $(call debian,python3=python3 python3-venv=/usr/lib/python3/dist-packages/ensurepip); }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "GradCore needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { $(call debian,python3-venv=/nonexistent); }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.ready-run: pyproject.toml $(CONSTRAINTS) $(VENV)/.created
	@$(call debian,$(PACKAGES_RUN))
	@echo "installing GradCore in $(VENV)" >&2
	@$(PIP) --editable .
	@$(PIP) --no-deps scikit-image  # for its pictures: what its code needs besides (scipy ...) is 170 MB
	@touch $@

$(VENV)/.ready-test: pyproject.toml $(CONSTRAINTS) $(VENV)/.ready-run
	@$(call debian,$(PACKAGES_TEST))
	@echo "installing PyTorch and the test tools in $(VENV)" >&2
	@$(PIP) torch scikit-image  # now with what it needs
	@$(PIP) --editable '.[test]'
	@touch $@
