# Every target sets itself up; comments after ## are the help.
.DEFAULT_GOAL := help
.PHONY: help demo test fuzz truth coverage remote versions goldens bench format docs gallery
BIN := .venv/bin

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

demo: .venv/.installed ## trace the sample model and draw graph.svg
	@$(BIN)/analyze trace samples/minicpm_v_2 --trust-remote-code --out graph.svg || test $$? -eq 1
	@echo "The picture: $(CURDIR)/graph.svg"

test: .venv/.installed ## format, lint, types, import floors, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict analyzer
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 2 --dist worksteal

truth: .venv/.installed ## everything against what PyTorch really does, into docs/truth.md (an hour)
	ANALYZE_ALL=1 $(BIN)/pytest -q -n 2 tests/ir/test_blame_law.py tests/truth/test_opinfo.py \
		tests/capture/test_autocast_policies.py tests/corpus/test_mending.py tests/corpus/test_page.py
	$(BIN)/python -m tests.truth operators kinds:1 models noise cuda surface layouts:2

fuzz: .venv/.installed ## 20,000 more damaged and hostile inputs, counted on docs/security.md (hours; Ctrl-C keeps them)
	$(BIN)/python -m tests.fuzzing --inputs 20000 --page

coverage: .venv/.installed ## trace every architecture from a bare config, into docs/coverage.md (an hour)
	$(BIN)/python -m tests.coverage --tasks
	$(BIN)/python -m tests.coverage.confirming
	$(BIN)/python -m tests.coverage --tasks

MIRRORS ?= build/mirrors
remote: .venv/.installed ## trace public remote codes from git mirrors in MIRRORS=DIR, into docs/coverage.md
	$(BIN)/python -m tests.coverage.remote $(MIRRORS)
	$(BIN)/python -m tests.coverage.remote.confirming $(MIRRORS)
	$(BIN)/python -m tests.coverage.remote $(MIRRORS)

versions: .venv/.installed ## four models with each release of transformers, into docs/versions.md (half an hour)
	$(BIN)/python -m tests.releases

goldens: .venv/.installed ## remake the expected outputs of the renderers; review the diff
	UPDATE_GOLDENS=1 $(BIN)/pytest -q tests -k golden

bench: .venv/.installed ## capture and command beside their peers and floors
	$(BIN)/python bench/capture.py
	$(BIN)/python bench/scale.py
	$(BIN)/python bench/command.py

docs: .venv/.installed ## the documentation as a site, into build/site
	$(BIN)/mkdocs build --strict

gallery: .venv/.installed ## draw the models of docs/gallery.md anew
	$(BIN)/python docs/gallery.py

format: .venv/.installed ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/.installed: pyproject.toml constraints.txt
	@test -x $(BIN)/python || python3 -m venv .venv
	@echo "installing into .venv (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/apart \
		timm==1.0.31 sentence-transformers==6.2.0 'scipy>=1.15'  # alone: torchvision does not go with a CPU torch
	@touch $@
