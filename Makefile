# Every target sets up `.venv/` by itself; Python >= 3.11, make and git are all that must be there before.

CORES ?= 2
# Interpreters to make `.venv/` from, the tested one first. One that is listed but does not run is passed over.
CANDIDATES := $(or $(PYTHON),python3.11 python3.12 python3.13 python3 python)

# What another active environment sets, so that Python here means `.venv/` and nothing else.
unexport VIRTUAL_ENV CONDA_PREFIX PYTHONHOME PYTHONPATH

# The rules' shell commands find `python` through PATH.
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python -m

# $(call SET_UP,command): setup_environment.py by the first candidate that is new enough and can make environments.
define SET_UP
@for python in $(CANDIDATES); do \
	if "$$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
		exec "$$python" scripts/setup_environment.py $(1); \
	fi; \
done; \
echo 'error: none of these is a Python >= 3.11 with the modules venv and ensurepip: $(CANDIDATES).' >&2; \
echo 'Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python3.12' >&2; \
exit 2
endef

.PHONY: help environment demo watch test bench lint docs audits lock clean

help:
	@echo 'make demo   set up .venv, run the demo study on CORES=2 cores, write its report, say where to look'
	@echo 'make watch  show the newest run of Snakemake in this folder while it goes on: jobs, times, live weights'
	@echo 'make test   set up .venv, check the style, run every test'
	@echo 'make bench  measure a step against the released code, some twelve minutes of one core, growth apart'
	@echo 'make environment   only set up .venv (PYTHON=... names the interpreter that a new one is made from)'
	@echo 'make lint   ruff, snakemake --lint, snakefmt'
	@echo 'make docs   write config/README.md from the typed configuration'
	@echo 'make audits write docs/audits/, what the studies of the paper would take, after a change of them or of the audit'
	@echo 'make lock   write envs/ from the pins in pyproject.toml'
	@echo 'make clean  remove results/demo, logs/demo and caches; .venv and other studies stay'

environment:
	$(call SET_UP,install)

lock:
	$(call SET_UP,lock)

demo: environment
	# Looking for work after every job takes Snakemake a third of a core in the end; a run may end five seconds later for this.
	$(RUN) snakemake --cores $(CORES) --rerun-incomplete --max-jobs-per-timespan 600/5s
	@echo
	@echo 'The demo study is done. Where to look:'
	@echo '  results/demo/report.html   everything on one page, opens without network'
	@echo '  results/demo/figures/      each figure as PDF and PNG'
	@echo '  results/demo/tables/       the numbers behind them'

watch: environment
	@PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python scripts/watch.py

lint: environment
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakemake --lint
	$(RUN) snakefmt --check Snakefile workflow/rules

test: lint
	# One more than there are cores: the tests on a SLURM cluster mostly wait.
	$(RUN) pytest -n $$(($(CORES) + 1))

bench: environment
	$(RUN) snakemake --cores 1 --rerun-incomplete bench growth bench_judging

docs: environment
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python scripts/config_reference.py

audits: environment
	@for study in gpt2 paper_v1 paper_acl; do \
		PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python scripts/audit.py --configfile config/$$study.yaml --document docs/audits/$$study.md || exit; \
	done

clean:
	rm -rf results/demo logs/demo .pytest_cache .ruff_cache
	find scripts tests workflow -name __pycache__ -type d -prune -exec rm -rf {} +
