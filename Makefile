# The verbs of the project. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test check soak unit lint format types contracts docs bench conformance wheel readme-pictures lock clean

BIN := .venv/bin
# A process of the tests for each core, four at most. Files stay together and long ones come first (tests/conftest.py).
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# Hundreds of tests start a Python of their own, which must not compile everything again.
unexport PYTHONDONTWRITEBYTECODE

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## put srgan with everything for development into .venv
	@scripts/setup dev

demo: ## upscale an example picture with a fresh base install (no torch)
	@scripts/setup base
	@mkdir -p out
	$(BIN)/srgan upscale examples/astronaut.png out/astronaut_x4.png --overwrite
	@echo "Compare examples/astronaut.png with out/astronaut_x4.png"

test: setup ## everything: lint, types, import contracts, all tests
	@$(MAKE) --no-print-directory lint types
	$(PYTEST)

check: setup ## the quick half of `test`, for before each commit: lint, types, contracts, unit tests
	@$(MAKE) --no-print-directory lint types
	$(PYTEST) tests/unit tests/architecture -m "not slow and not soak"

soak: setup ## the long forms of tests that have a short one in `test`, and properties tried a thousand times
	$(PYTEST) -m "soak or hypothesis" --hypothesis-profile soak

unit: setup ## the unit tests alone
	$(PYTEST) tests/unit

lint: setup ## style and likely mistakes (ruff)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: setup ## let ruff format the code and mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: setup ## static types (mypy --strict)
	$(BIN)/mypy
	MYPYPATH=. $(BIN)/mypy --explicit-package-bases scripts/trainings scripts/corpora

contracts: setup ## who may import whom (import-linter; the tests run it too)
	$(BIN)/lint-imports

docs: setup ## write docs/reference anew from the code
	$(BIN)/python docs/generate.py

bench: setup ## how fast the shipped models are on this machine
	$(BIN)/srgan bench

conformance: setup ## does everything around the network survive? formats, colour, depth, alpha, metadata, broken files
	$(BIN)/python -m conformance --command '$(BIN)/srgan upscale {input} {output} --scale 4' \
	  --tiled-command '$(BIN)/srgan upscale {input} {output} --scale 4 --tile 64' \
	  --batch-command '$(BIN)/srgan batch-process {input} {output} --scale 4'

wheel: setup ## build the wheel into dist/
	$(BIN)/python -m pip wheel -q --disable-pip-version-check --no-deps --wheel-dir dist .

readme-pictures: setup ## make the README's pictures from examples/ with the shipped models
	$(BIN)/python scripts/readme_pictures.py

lock: setup ## write the versions that are installed now to constraints.txt
	scripts/lock

clean: ## remove what building and testing leave (.venv stays)
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
