# make demo: install what the app needs into .venv, and open it in a browser.
# make test: install what the tests need too, and run them.
# Both start at once when everything is installed already.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check

# Debian packages, one a line; the browser test is skipped where these last two are missing.
APP_PACKAGES := $(shell cat packages.txt)
TEST_PACKAGES := chromium chromium-driver

.PHONY: demo test lint clean

demo: $(VENV)/.demo
	$(BIN)/python app.py --open

test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --numprocesses \
	  $$($(BIN)/python -c "from agetransformer.cpus import usable_cpus; print(min(4, usable_cpus()))")

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV)

# Installs the Debian packages of the list $(1) that are missing, or says which they are.
define debian_packages
@missing=""; \
if command -v dpkg >/dev/null; then \
  for package in $(1); do dpkg -s $$package 2>/dev/null | grep -q '^Status: install ok installed' || missing="$$missing $$package"; done; \
else missing="$(1)"; fi; \
if [ -z "$$missing" ]; then :; \
elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
elif command -v apt-get >/dev/null; then \
  echo "Please install these system packages, then try again if something fails:"; \
  echo "  sudo apt-get install$$missing"; \
else \
  echo "Please install what your system calls these Debian packages:$$missing"; \
fi
endef

# Where Python lacks ensurepip, half an environment is made, without pip, and nothing is taken for installed.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: requirements.txt packages.txt | $(BIN)/pip
	$(call debian_packages,$(APP_PACKAGES))
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.test: $(VENV)/.demo requirements-train.txt requirements-dev.txt
	$(call debian_packages,$(TEST_PACKAGES))
	$(PIP) -r requirements.txt -r requirements-train.txt -r requirements-dev.txt
	touch $@
