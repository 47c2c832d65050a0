"""The paper's own studies, which nothing here can run: they plan at once, without network or torch, as they were designed.

What they plan is made of rules that other studies run in the tests, so that only sizes, models and places are new in them.
"""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from clones import ENVIRONMENT, STUDY, new_clone, processor_seconds

from scalebio.config import Study
from scalebio.study import load_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STUDIES = ("gpt2", "paper_v1", "paper_acl")
ABLATIONS = "config/demo.yaml config/overlays/ablations.yaml"
# The studies that are run, here or in the tests.
RUN = ("config/demo.yaml", "config/smollm2.yaml", STUDY, ABLATIONS)
HEAVY = {"torch", "transformers", "datasets", "huggingface_hub", "matplotlib", "scipy"}

# Snakemake's command line in a Python that has no network, which tells what was loaded.
PROBE = """
import socket, sys

def refuse(*arguments, **options):
    raise AssertionError("the network is asked for")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse
from snakemake.cli import main

try:
    main(sys.argv[1:])
finally:
    print("loaded:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def plan(root, tmp_path_factory):
    """plan(study) → jobs by rule of a dry run, all that it said, and the processor seconds it took; each study once."""
    clone = new_clone(root, tmp_path_factory.mktemp("plans") / "clone")

    @cache
    def run(study: str) -> tuple[dict[str, int], str, float]:
        start = processor_seconds()
        done = subprocess.run(
            [sys.executable, "-c", PROBE, "-n", "-q", "rules", "--cores", "1", "--configfile", *study.split()],
            cwd=clone.path,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", done.stdout, re.MULTILINE)}
        return jobs, done.stdout, processor_seconds() - start

    return run


def study_of(name: str) -> Study:
    return load_study(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")))


def designed(study: Study) -> dict[str, int]:
    """Jobs by rule, counted from the study: every experiment with each of its methods and seeds is one run."""
    experiments = [study.experiments[name] for name in study.run]
    runs = [(one, len(one.methods) * len(one.seeds)) for one in experiments]
    judged = [(one, count) for one, count in runs if "mtbench" in one.evaluate]
    solved = [(one, count) for one, count in runs if "math" in one.evaluate]
    every = sum(count for _, count in runs)
    taken = sum(count for one, count in runs if one.weights_from)
    jobs = {
        "fetch_hub_source": len(study.sources),
        "fetch_model": len({one.model for one in experiments}),
        "build_pool": len(experiments),
        "predict_memory": len({one.model for one in experiments}),
        "learn_weights": every - taken,
        "transfer_weights": taken,
        **dict.fromkeys(("draw_mixture", "finetune", "evaluate"), every),
        "fetch_mtbench": int(bool(judged)),
        "mtbench_answers": sum(count for _, count in judged),
        "fetch_math": len(study.evaluations.math.benchmarks.named) if solved else 0,
        **dict.fromkeys(("answer_math", "score_math"), sum(count for _, count in solved)),
        "compare_math": len(solved),
        **dict.fromkeys(("mtbench_questions", "mtbench_judgments", "mtbench_scores"), len(judged)),
        "check_leakage": len(experiments),
        "check_templates": len(experiments),
        "claims": 1,
        "report": 1,
    }
    return {rule: count for rule, count in jobs.items() if count}


@pytest.mark.parametrize("name", STUDIES)
def test_the_plan_is_the_design_made_at_once_without_network_and_torch(plan, name, monkeypatch):
    monkeypatch.chdir(ROOT)
    study = study_of(name)
    jobs, said, seconds = plan(f"config/{name}.yaml")
    ours = {rule: count for rule, count in jobs.items() if not re.match("table_|figure_|all$|total$", rule)}
    assert ours == designed(study)
    assert seconds <= 10
    said, loaded = said.rsplit("\nloaded: ", 1)
    assert "scalebio" in loaded.split() and not set(loaded.split()) & HEAVY
    assert not re.search("warning|deprecat", said, re.IGNORECASE), said
    assert study.sources.keys() == {
        source
        for experiment in study.experiments.values()
        for part in (
            study.references[experiment.reference].validation,
            study.references[experiment.reference].test or {},
        )
        for source in (*experiment.sources, *part)
    }, "a source that nothing reads"


def test_the_numbers_of_the_paper(monkeypatch):
    monkeypatch.chdir(ROOT)
    gpt2, v1, acl = map(study_of, STUDIES)
    assert [len(gpt2.experiments[name].sources) for name in gpt2.run] == [10, 9, 2]
    rates = [gpt2.sources[name].corrupt for name in gpt2.experiments["denoising"].sources]
    assert [corrupt.rate if corrupt else 0 for corrupt in rates] == [min(1, 2 * i / 10) for i in range(10)]
    assert all(len(experiment.sources) == 18 for experiment in v1.experiments.values())
    suite = acl.experiments["llama3_8b"].sources
    sizes = [acl.sources[name].whole_rows for name in suite]
    # Of one of the 18 the size is not known; the paper says 4.2 million for all.
    assert sizes.count(None) == 1 and 4.1e6 < sum(filter(None, sizes)) < 4.2e6
    assert all(experiment.pool_rows == 3000 for study in (v1, acl) for experiment in study.experiments.values())
    assert v1.finetuning.rows == 10000 and v1.experiments["llama3_70b"].weights_from == "llama3_8b"
    suite = v1.experiments["llama3_8b"].sources
    assert {name: v1.sources[name] for name in suite} == {name: acl.sources[name] for name in suite}
    counts = {name: len(experiment.sources) for name, experiment in acl.experiments.items()}
    assert counts == {name: 10 if name.startswith("math") else 18 for name in acl.run}
    # An epoch of the reweighting rows in the authors' global batch, which equal parts of all sources come close to.
    for study, experiment, batch in ((v1, "llama3_8b", 64), (acl, "llama3_8b", 128), (acl, "math_llama3_8b", 128)):
        sources = len(study.experiments[experiment].sources)
        method = study.methods[study.experiments[experiment].methods[1]]
        assert method.steps == sources * 3000 // batch and abs(method.per_source * sources - batch) <= sources / 2


def test_no_rule_in_them_is_one_that_nothing_runs(plan):
    def rules(study):
        jobs = {rule for rule in plan(study)[0] if rule not in ("all", "total")}
        # A figure of one experiment has its name in the rule's.
        return {re.sub(r"^figure_\w+?_(final_weights|weights)$", r"figure_of_an_experiment_\1", rule) for rule in jobs}

    known = set().union(*map(rules, RUN))
    for name in STUDIES:
        assert rules(f"config/{name}.yaml") <= known, name


def test_every_artefact_of_the_paper_has_the_targets_that_the_list_says(plan, root):
    text = (root / "docs/paper_artefacts.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")][1:]
    listed = {artefact for cells in rows for artefact in cells[0].replace(" ", "").split(",")}
    assert {*(f"T{i}" for i in range(1, 10)), *(f"F{i}" for i in range(1, 6)), "A1"} <= listed
    for _, _, targets, study, _ in rows:
        file = ABLATIONS if study.strip() == "ablations" else f"config/{study.strip()}.yaml"
        planned = plan(file)[0]
        assert re.findall("`(.+?)`", targets) and set(re.findall("`(.+?)`", targets)) <= planned.keys(), (
            targets,
            study,
        )
