# make run    everything on this computer (PORT, HOST, DATA_DIR, DATABASE_URL, WORKERS by environment)
# make test   the suite but the slow marks; make test-fast without the browser; make test-bare on a computer that has nothing
# make demo-model a run of a model to look at, without a model; make test-model: ten tasks for the one that MODEL_TEST_URL names
# make models     the SDKs that talk to models (make run does it by itself where the environment names one); make ocr: what reads pictures
# make machines   what the system's package manager can add to machines; shows its plan and asks (YES=1 does not)
# make lint, fmt, openapi, bench, lock, vendor-editor

VENV := .venv
BIN := $(VENV)/bin
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
# How long a Python takes for the same work, in microseconds: those built without profile-guided optimisation take half as long again.
SPEED := import time, timeit as t; work = "json.dumps({str(i): isinstance(i, int) for i in range(999)})"; \
	print(int(1e6 * min(t.repeat(work, "import json", time.process_time, 5, 30))))
# One more than two cores: while a test waits for a real process, the others work. Each Chromium is busy itself.
PYTEST_WORKERS ?= 3
BROWSERS ?= 2
SHARED = -n $(PYTEST_WORKERS) --dist worksteal

# One line per long step: $(call step,what is done,command). Its output is shown only when it fails.
define step
	@printf '%s … ' "$(1)"; begun=$$(date +%s); \
	if out=$$({ $(2); } 2>&1); then echo "ok $$(($$(date +%s) - begun)) s"; else echo failed; echo "$$out" >&2; exit 1; fi
endef

# Install a lock file, with its hashes, only when it differs from the one installed last.
define install
	@cmp -s $(1) $(VENV)/$(1) || $(MAKE) --no-print-directory _install LOCK=$(1)
endef

.PHONY: run models ocr machines test test-fast test-slow test-deep test-bare test-model demo-model lint fmt openapi bench lock vendor-editor venv dev _venv _install

# A model named in the environment needs its SDK.
SDKS_WANTED = $(strip $(foreach name,ANTHROPIC_API_KEY OPENAI_API_KEY GEMINI_API_KEY MODEL_BASE_URL,$(value $(name))))

run: venv $(if $(SDKS_WANTED),models)
	@exec $(BIN)/python manage.py up --with-parent

models: venv
	$(call install,requirements-models.lock)

ocr: venv
	$(call install,requirements-ocr.lock)

machines: venv
	@$(BIN)/python manage.py machines install $(if $(YES),--yes)

venv:
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || $(MAKE) --no-print-directory _venv
	$(call install,requirements.lock)

dev: venv
	$(call install,requirements-dev.lock)

# Playwright occupies the event loop of its process, so the pages are tested in a run of their own.
test: dev
	$(BIN)/python -m pytest $(SHARED) -m "not slow and not again and not model" --ignore=tests/browser
	$(BIN)/python -m pytest -n $(BROWSERS) --dist worksteal -m "not slow and not model" tests/browser

test-fast: dev
	$(BIN)/python -m pytest $(SHARED) -m "not slow and not again and not browser and not model" --ignore=tests/browser

test-slow: dev
	$(BIN)/python -m pytest -m "slow and not model" --ignore=tests/browser

# The README on a computer without bubblewrap, tmux, Chromium, node and npm: as root, as a plain user, without namespaces, offline.
test-bare: dev
	$(BIN)/python -m tests.bare

# Ten tasks on real machines for the model behind MODEL_TEST_URL (MODEL_TEST_MODEL, MODEL_TEST_KEY, MODEL_TEST_WIRE); docs/models.md.
test-model: $(if $(MODEL_TEST_URL),dev)
	@test -n "$(MODEL_TEST_URL)" || echo "Skipped: MODEL_TEST_URL names no model to be tested (docs/models.md, “Ten tasks”)."
	$(if $(MODEL_TEST_URL),$(BIN)/python -m pytest -m model tests/modelling)

# Fifty rounds for each race, many times the examples for each property (tests/chance.py), 500 random pages, half of them with a
# process per site; and what is tested once more.
test-deep: dev
	$(BIN)/python -m pytest $(SHARED) -m "again and not slow" tests/drivers tests/agents tests/runs
	RACE_ROUNDS=50 EXAMPLES=400 PAGES=250 $(BIN)/python -m pytest $(SHARED) -m "not slow" $$(grep -rl --include="*.py" -e "^from tests.chance import" -e "[(]chance.ROUNDS" tests)

# The emulator of the tests drives a real browser machine, in an installation of its own; PORT, DATA_DIR by environment.
demo-model: venv
	$(call install,requirements-demo.lock)
	@exec $(BIN)/python -m tests.demo --with-parent

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/djlint templates --lint --quiet
	$(BIN)/python -m tests.page_lines

fmt: dev
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

openapi: venv
	$(BIN)/python manage.py openapi

bench: dev
	$(BIN)/python -m benchmarks

lock: COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 pyproject.toml
lock: SDKS = --extra anthropic --extra openai --extra gemini
lock: venv
	$(call step,Installing uv,$(BIN)/python -m pip install --quiet --disable-pip-version-check uv)
	$(call step,Locking requirements.lock,$(COMPILE) -o requirements.lock)
	$(call step,Locking requirements-models.lock,$(COMPILE) -c requirements.lock $(SDKS) -o requirements-models.lock)
	$(call step,Locking requirements-ocr.lock,$(COMPILE) -c requirements-models.lock $(SDKS) --extra ocr -o requirements-ocr.lock)
	$(call step,Locking requirements-dev.lock,$(COMPILE) -c requirements-ocr.lock $(SDKS) --extra ocr --group dev -o requirements-dev.lock)
	$(call step,Locking requirements-demo.lock,$(COMPILE) -c requirements-dev.lock --extra openai --group demo -o requirements-demo.lock)

# static/vendor/codemirror.js anew; the only thing here that needs node and npm (vendoring/README.md).
vendor-editor:
	$(call step,Fetching the packages of vendoring/codemirror,cd vendoring/codemirror && npm ci --no-audit --no-fund)
	$(call step,Bundling the editor,cd vendoring/codemirror && npm run build)

_venv: PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 /usr/bin/python3; do \
	"$$p" -c '$(SUITABLE)' 2>/dev/null && "$$p" -c 'import ensurepip, venv' 2>/dev/null && \
	echo "$$("$$p" -c '$(SPEED)') $$(command -v "$$p")"; done | sort -n | sed -n '1s/^[0-9]* //p')
_venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with venv is needed (Debian: apt-get install python3-venv)." >&2; exit 1; }
	$(call step,Making $(VENV) with $(PYTHON),$(PYTHON) -m venv --clear $(VENV))

_install:
	$(call step,Installing $(LOCK),$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $(LOCK))
	@cp $(LOCK) $(VENV)/$(LOCK)
