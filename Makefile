# Every target sets up what it needs in .venv (inside the project) and nothing anywhere else.
#   PYTHON=python3.12   the interpreter that .venv is made from
#   PY=python3          use this interpreter as it is: no .venv, nothing installed
#   DEVICE=cuda         the device of `make demo`
#   CUDA=cuda13         which CuPy to install: cuda12 or cuda13
SHELL  := /bin/bash
PYTHON ?= python3
DEVICE ?= auto
# nvidia-smi names the newest CUDA that the driver serves; CUDA 12 wheels run on newer drivers too.
CUDA   ?= $(if $(shell nvidia-smi 2>/dev/null | grep -E 'CUDA Version: (1[3-9]|[2-9][0-9])'),cuda13,cuda12)
# CuPy has wheels for Linux and Windows; elsewhere the simulator is the only 'cuda' device.
GPU    := $(shell nvidia-smi -L 2>/dev/null)
CUPY   := $(if $(filter Linux,$(shell uname -s)),$(CUDA))
JOBS   ?= 2
PYTEST_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MPLBACKEND := Agg

comma := ,
empty :=
space := $(empty) $(empty)
ifdef PY
need  =
else
PY   := .venv/bin/python
need  = .venv/.has-$(subst $(space),+,$(strip $(1)))
endif

.PHONY: help demo test test-gpu lint kernels notebooks examples bench bench-memory compare gpu-report clean
.DEFAULT_GOAL := help

help: ## list the targets
	@echo "make TARGET [DEVICE=cpu|cuda] [PYTHON=python3] [PY=interpreter used as it is] [CUDA=cuda12|cuda13]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r t d; do printf '  %-12s %s\n' "$$t" "$$d"; done

.venv/bin/python:
	@echo "== making .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv

.venv/.has-%: .venv/bin/python pyproject.toml
	@echo "== installing gradgpu[$(subst +,$(comma),$*)] into .venv"
	@.venv/bin/python -m pip install --quiet --editable '.[$(subst +,$(comma),$*)]'
	@touch $@

# No GPU, no CuPy: the tests of 'cuda' run in the project's simulator, and say so.
gpu = $(PY) -c 'import sys, cupy; sys.exit(not cupy.cuda.is_available())' 2>/dev/null
simulate = if ! $(gpu); then export GRADGPU_CUDASIM=1; echo "== no GPU here: 'cuda' is the simulator"; fi

demo: $(call need,demo $(if $(GPU),$(CUPY))) ## train two nets on handwritten digits (DEVICE=cpu|cuda)
	@$(PY) -m gradgpu.demo $(if $(filter-out auto,$(DEVICE)),--device $(DEVICE)) $(DEMO_ARGS)

test: $(call need,test demo notebooks $(CUPY)) ## every test on cpu and cuda (the simulator where there is no GPU)
	@$(simulate); $(PY) -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-gpu: $(call need,test demo $(CUPY)) ## the cuda tests on the GPU that is here; never in the simulator
	@$(gpu) || { echo "no CUDA device is available to CuPy; 'make test' uses the simulator"; exit 1; }
	@GRADGPU_CUDASIM= $(PY) -m pytest -m cuda $(PYTEST_ARGS)

lint: $(call need,lint) ## style (ruff) and types (mypy)
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

kernels: $(call need,$(or $(CUPY),test)) ## compile every kernel for every dtype and architecture; table in docs/kernels.md
	@$(PY) -m gradgpu._tools.kernels --jobs $(JOBS) $(KERNELS_ARGS)

notebooks: $(call need,test notebooks $(if $(GPU),$(CUPY))) ## run the notebooks from start to end
	@$(simulate); $(PY) -m pytest tests/test_notebooks.py $(PYTEST_ARGS)

examples: $(call need,notebooks) ## run the example notebooks and keep their outputs, pictures and docs/examples.md
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m gradgpu._tools.examples $(EXAMPLES_ARGS)

bench: $(call need,bench) ## time per step and per op beside PyTorch and hand-written numpy
	@$(PY) -m gradgpu._tools.bench $(BENCH_ARGS)

bench-memory: $(call need,bench) ## peak memory of backward through a deep net beside PyTorch; docs/memory.md
	@$(PY) -m gradgpu._tools.memory --output docs/memory.md $(BENCH_ARGS)

compare: $(call need,bench) ## numbers of layers, losses, optimisers and schedules beside PyTorch's; docs/compare.md
	@$(PY) -m gradgpu._tools.compare --output docs/compare.md $(COMPARE_ARGS)

gpu-report: $(call need,test demo $(CUPY)) ## tests and measurements on the GPU that is here; docs/gpu-report.md
	@$(PY) -m gradgpu._tools.gpu_report $(REPORT_ARGS)

clean: ## remove .venv, caches and everything that was built
	@rm -rf .venv .cache build dist runs .pytest_cache .mypy_cache .ruff_cache *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
