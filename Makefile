# Two commands do all the set-up: `make demo` and `make test`. Both only call nox, from an environment of their own.
#
# TORCH_INDEX  a package index with CPU builds of torch, for machines whose own index has only CUDA builds:
#              make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
TORCH_INDEX ?=
export TORCH_INDEX

NOX = .venv/bin/nox

.PHONY: demo test lint golden bench-cli bench-data bench-first-step bench-sweeps clean

demo: $(NOX)
	$(NOX) --session demo

test: $(NOX)
	$(NOX)

lint: $(NOX)
	$(NOX) --session lint types

golden: $(NOX)
	$(NOX) --session tests -- tests/golden --update-golden

bench-cli: $(NOX)
	$(NOX) --session bench_cli

bench-data: $(NOX)
	$(NOX) --session bench_data

bench-first-step: $(NOX)
	$(NOX) --session bench_first_step

bench-sweeps: $(NOX)
	$(NOX) --session bench_sweeps

$(NOX): Makefile
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || sh tests/install_venv.sh
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade nox
	@touch $(NOX)

clean:
	rm -rf .venv .nox .virtual_envs virtual_env bench/.peers bench/.data
