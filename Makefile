# Everything sets itself up: a virtual environment in .venv, uv inside it, and what
# requirements/*.lock names, checked against its hashes. Needs make and Python 3.11 to 3.13.

# The interpreters to try, best first; `make test PYTHON=/path/to/python3.12` tries only that one.
PYTHON ?= python3.13 python3.12 python3.11 python3
# More words for pytest: `make test ARGS="tests/unit -x"`.
ARGS ?=
# Of `make fuzz`: cases of each parser and of each flow, at most how many seconds of each (0: no end),
# which ones, and where it is counted what has been tried, to go on from there.
FUZZ_RUNS ?= 1000000
FUZZ_FLOW_RUNS ?= 100000
FUZZ_SECONDS ?= 0
FUZZ_TARGETS ?=
FUZZ_TALLY ?=

VENV := .venv
BIN := $(VENV)/bin
# The compiler and the EVM need other versions of what the project needs: an environment apart.
CONTRACTS := .venv-contracts
# So do servers that tests talk to.
PEERS := .venv-peers
# And another implementation, which needs a Python from 3.12 on.
AICS := .venv-aics
# And a fuzzer, which changes how what it runs is compiled.
FUZZ := .venv-fuzz
# So do the tools that prove things of the compiled contracts; these also need npm.
PROOFS := .venv-proofs
# Answers of a company's own certificate authority are believed where the system believes them.
UV := UV_SYSTEM_CERTS=1 $(BIN)/uv
INSTALL := $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-config \
	--custom-compile-command "make lock"

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types ladder contracts test-contracts prove peers bench soak fuzz fuzz-parsers lock upgrade clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Tell the whole story on real data, break it, and see it caught
	$(BIN)/counterfoil demo $(ARGS)

test: $(VENV)/.test ## Run all tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 $(ARGS)

lint: $(VENV)/.test ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test ## Put every file into the one formatting
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

types: $(VENV)/.test ## Check types, strictly
	$(BIN)/mypy

ladder: $(VENV)/.test ## Check that imports go down the ladder only
	$(BIN)/lint-imports

contracts: $(CONTRACTS)/.made ## Compile the contracts, and measure what calls cost
	$(CONTRACTS)/bin/python contracts/compile.py
	PYTHONPATH=src $(CONTRACTS)/bin/python tests/contracts/gas.py --write

test-contracts: $(CONTRACTS)/.made ## Run the contracts' tests on two EVMs, in the contracts' own environment
	$(CONTRACTS)/bin/python -m pytest tests/contracts -c tests/contracts/pytest.ini \
		-n auto --maxprocesses 4 $(ARGS)

prove: $(PROOFS)/.made ## Prove that the anchor contract only lets logs grow; minutes, needs npm
	$(PROOFS)/bin/python tests/contracts/proofs/prove.py

peers: $(PEERS)/.made ## Make the environments of what tests are held against
	@$(MAKE) --no-print-directory $(AICS)/.made || \
		echo "***  SeaweedFS is in $(PEERS); WITHOUT aics-tlog, against which nothing is held then.  ***" >&2

bench: $(VENV)/.test ## Measure side by side with peers; minutes, on a quiet machine
	@for file in benchmarks/*.py; do $(BIN)/python $$file $(ARGS) || exit; done

soak: $(VENV)/.test ## Kill, fill and corrupt ledgers many more times than a test run does
	COUNTERFOIL_SOAK=$${COUNTERFOIL_SOAK:-50} $(BIN)/python -m pytest tests/faults $(ARGS)

fuzz: $(VENV)/.test $(FUZZ)/.made ## Run the property tests with many more examples, then fuzz; hours
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n auto --maxprocesses 4 tests/properties tests/unit \
		tests/faults/test_log_machine.py $(ARGS)
	@$(MAKE) --no-print-directory fuzz-parsers

fuzz-parsers: $(FUZZ)/.made ## Fuzz every parser: FUZZ_RUNS=1000000 cases of each, or FUZZ_SECONDS
	PYTHONPATH=src $(FUZZ)/bin/python tests/fuzz/run.py $(FUZZ_TARGETS) \
		--runs $(FUZZ_RUNS) --flow-runs $(FUZZ_FLOW_RUNS) --seconds $(FUZZ_SECONDS) \
		$(if $(FUZZ_TALLY),--tally $(FUZZ_TALLY))

lock: $(BIN)/uv ## Resolve the locks anew, changing no version that still fits
	$(COMPILE) requirements/uv.in --output-file requirements/uv.lock $(ARGS)
	$(COMPILE) pyproject.toml requirements/demo.in --extra demo --output-file requirements/demo.lock $(ARGS)
	$(COMPILE) pyproject.toml requirements/demo.in requirements/test.in --extra demo --extra chain --extra server \
		--extra postgres --extra timestamps \
		--output-file requirements/test.lock $(ARGS)
	$(COMPILE) requirements/peers.in --output-file requirements/peers.lock $(ARGS)
	$(subst 3.11,3.12,$(COMPILE)) requirements/aics.in --output-file requirements/aics.lock $(ARGS)
	$(COMPILE) requirements/contracts.in --output-file requirements/contracts.lock $(ARGS)
	$(COMPILE) requirements/halmos.in --output-file requirements/halmos.lock $(ARGS)
	$(COMPILE) pyproject.toml requirements/fuzz.in --extra chain --extra timestamps --output-file requirements/fuzz.lock $(ARGS)

upgrade: ## Resolve the locks anew, with the newest versions
	@$(MAKE) --no-print-directory lock ARGS=--upgrade

clean: ## Remove the environment and everything generated
	rm -rf $(VENV) $(CONTRACTS) $(PEERS) $(AICS) $(FUZZ) $(PROOFS) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# pip installs uv and nothing else. A half-made environment leaves no uv, and is made again.
$(BIN)/uv: requirements/uv.lock
	@for python in $(PYTHON); do \
		if $$python -c 'import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
			>/dev/null 2>&1; then \
			echo "Setting up $(VENV) with $$($$python --version), once; a minute or two."; \
			$$python -m venv --clear $(VENV) && \
			$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes \
				--requirement requirements/uv.lock && \
			touch $@; exit; \
		fi; \
	done; \
	echo "counterfoil needs Python 3.11, 3.12 or 3.13 with its venv module; none of these is one: $(PYTHON)." \
		"Name yours: make PYTHON=/path/to/python3.12" >&2; exit 1

# The stamps. The project itself is installed editable, by the locked build backend.
$(VENV)/.demo: $(BIN)/uv requirements/demo.lock pyproject.toml
	@$(INSTALL) --require-hashes --requirement requirements/demo.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo requirements/test.lock
	@$(INSTALL) --require-hashes --requirement requirements/test.lock
	@touch $@

$(PEERS)/.made: $(BIN)/uv requirements/peers.lock
	@$(UV) venv --quiet --clear --python $(BIN)/python $(PEERS)
	@$(UV) pip install --quiet --python $(PEERS)/bin/python --compile-bytecode --require-hashes \
		--requirement requirements/peers.lock
	@touch $@

# The Pythons of version managers are looked at as well: theirs may be the only new enough one.
$(AICS)/.made: $(BIN)/uv requirements/aics.lock
	@for python in python3.13 python3.12 $(wildcard $(HOME)/.pyenv/versions/3.1[2-3].*/bin/python); do \
		if $$python -c 'import venv' >/dev/null 2>&1; then \
			$(UV) venv --quiet --clear --python $$python $(AICS) && \
			$(UV) pip install --quiet --python $(AICS)/bin/python --compile-bytecode --require-hashes \
				--requirement requirements/aics.lock && \
			touch $@; exit; \
		fi; \
	done; \
	echo "aics-tlog needs Python 3.12 or 3.13, and there is none here." >&2; exit 1

$(FUZZ)/.made: $(BIN)/uv requirements/fuzz.lock
	@$(UV) venv --quiet --clear --python $(BIN)/python $(FUZZ)
	@$(UV) pip install --quiet --python $(FUZZ)/bin/python --compile-bytecode --require-hashes \
		--requirement requirements/fuzz.lock
	@touch $@

$(CONTRACTS)/.made: $(BIN)/uv requirements/contracts.lock
	@$(UV) venv --quiet --clear --python $(BIN)/python $(CONTRACTS)
	@$(UV) pip install --quiet --python $(CONTRACTS)/bin/python --compile-bytecode --require-hashes \
		--requirement requirements/contracts.lock
	@touch $@

$(PROOFS)/.made: $(BIN)/uv requirements/halmos.lock tests/contracts/proofs/package-lock.json
	@$(UV) venv --quiet --clear --python $(BIN)/python $(PROOFS)
	@$(UV) pip install --quiet --python $(PROOFS)/bin/python --require-hashes \
		--requirement requirements/halmos.lock
	@cp tests/contracts/proofs/package.json tests/contracts/proofs/package-lock.json $(PROOFS)
	@npm ci --prefix $(PROOFS) --ignore-scripts --no-audit --no-fund --silent
	@touch $@
