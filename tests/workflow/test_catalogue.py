"""Every study of this repository plans without a fault, at once and with nothing heavy loaded; targets explain themselves."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clones import ENVIRONMENT, STUDY, Clone, processor_seconds

CONFIG = Path(__file__).resolve().parents[2] / "config"
# Those of the paper have tests of their own.
STUDIES = sorted({path.name for path in CONFIG.glob("*.yaml")} - {"gpt2.yaml", "paper_v1.yaml", "paper_acl.yaml"})
HEAVY = {"torch", "transformers", "datasets", "matplotlib", "reasoning_gym", "inspect_ai"}


def dry_run(clone: Clone, study: str) -> str:
    return clone.run("-n", "-q", "rules", study=f"config/{study}")


def test_there_are_studies_to_look_at():
    assert "demo.yaml" in STUDIES


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_dry_run_of_every_study(clone, study):
    start = processor_seconds()
    shown = dry_run(clone, study)
    assert processor_seconds() - start <= 10
    counted = dict(re.findall(r"^(\w+) +(\d+)$", shown, re.MULTILINE))
    assert {"build_pool", "learn_weights", "draw_mixture", "finetune", "evaluate", "all"} <= counted.keys(), shown
    runs = yaml.safe_load((CONFIG / study).read_text(encoding="utf-8"))
    runs = [runs["experiments"][name] for name in runs["run"]]
    expected = sum(len(experiment["methods"]) * len(experiment["seeds"]) for experiment in runs)
    assert int(counted["learn_weights"]) == int(counted["finetune"]) == expected


@pytest.mark.slow
def test_a_study_with_an_offline_folder_plans_with_and_without_it(clone):
    """`offline_data` says where to read from, not what is done: the jobs are the same, whatever is in reach."""
    (clone.path / "offline").mkdir()
    (clone.path / "offline" / "rows.jsonl").write_text("{}\n")
    hub = {"id": "owner/rows", "revision": "0" * 40}

    def add_hub_source(study):
        study["sources"]["dates"] = {"hub": hub, "local": "rows.jsonl"}

    clone.edit_study(add_hub_source)
    jobs = clone.planned()
    assert ("fetch_hub_source" in {rule for rule, _ in jobs}) and ("fetch_source" in {rule for rule, _ in jobs})
    clone.edit_study(lambda study: study.update(offline_data="offline"))
    offline = clone.planned()
    assert "fetch_hub_source" not in {rule for rule, _ in offline}
    assert sorted(outputs for _, outputs in offline) == sorted(outputs for _, outputs in jobs)


@pytest.mark.slow
def test_planning_loads_nothing_heavy(clone):
    command = clone.command("-n", "-q", "rules", study="config/demo.yaml")
    done = subprocess.run(
        [command[0], "-X", "importtime", *command[1:]], cwd=clone.path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    loaded = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "scalebio" in loaded and "pydantic" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.slow
def test_the_catalogue_describes_each_figure_and_table(clone):
    shown = clone.run("--list-target-rules")
    described = dict(re.findall(r"^(\w+) \((.+)\)$", shown, re.MULTILINE))
    figures = {name for name in described if name.startswith("figure_")}
    tables = {name for name in described if name.startswith("table_")}
    assert {
        "figure_sums_weights",
        "figure_sums_final_weights",
        "figure_test_loss",
        "figure_math",
        "figure_mtbench",
    } <= figures
    assert {"table_weights", "table_test_loss", "table_math", "table_math_differences", "table_costs"} <= tables
    assert described["claims"].startswith("Each claim of the paper")
    assert len(set(described.values())) == len(described), "two targets with the same description"
    assert not set(re.findall(r"^(\w+)$", shown, re.MULTILINE)), "a target without a description"


@pytest.mark.slow
def test_bare_snakemake_runs_the_demo(clone):
    shown = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "-q", "rules"],
        cwd=clone.path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    assert "figure_denoising_weights" in shown.stdout + shown.stderr


@pytest.mark.slow
def test_a_study_of_ones_own_does_not_inherit_the_demo(clone):
    assert not [rule for rule, _ in clone.planned() if "denoising" in rule]


@pytest.mark.slow
def test_the_local_profile_works(clone):
    shown = clone.run("-n", "-q", "rules", "--profile", "workflow/profiles/local")
    assert "learn_weights" in shown


def planned_on_a_cluster(clone: Clone, tools, **site: str) -> str:
    """A dry run by `--profile slurm` with the machine's programs except SLURM's own."""
    tools.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            if not re.match(r"s(batch|run|queue|info|cancel|acct|control|share|cctmgr|diag)|scontrol", program.name):
                (tools / program.name).exists() or (tools / program.name).symlink_to(program)
    shown = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--profile", "slurm", *(["--configfile", STUDY] if site else [])],
        cwd=clone.path,
        env=ENVIRONMENT | {"PATH": f"{Path(sys.executable).parent}:{tools}"} | site,
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout + shown.stderr


@pytest.mark.slow
def test_the_slurm_profile_plans_the_published_paper_s_study_where_there_is_no_slurm(clone, tmp_path):
    shown = planned_on_a_cluster(clone, tmp_path / "tools")
    assert "results/paper_acl/" in shown
    jobs = re.findall(
        r"rule learn_weights:\n(?:    .*\n)*?    wildcards: (.*)\n(?:    .*\n)*?    resources: (.*)$", shown, re.M
    )
    asked = {wildcards: resources for wildcards, resources in jobs if "method=scalebio" in wildcards}
    assert len(asked) == 19 and all("gpu=8" in resources for resources in asked.values()), jobs


@pytest.mark.slow
def test_the_site_and_the_hardware_reach_the_jobs(clone, tmp_path):
    hardware = {"nodes": 2, "gpus": 8, "processes": 8, "cpus": 4, "memory_gb": 400, "hours": 40}
    clone.edit_study(lambda study: [model.update(hardware=hardware) for model in study["models"].values()])
    site = {"ACCOUNT": "physics", "PARTITION": "short", "GPU_PARTITION": "h100", "QOS": "long", "MAX_HOURS": "24"}
    shown = planned_on_a_cluster(
        clone, tmp_path / "tools", **{f"SCALEBIO_SLURM_{name}": value for name, value in site.items()}
    )
    jobs = dict(re.findall(r"rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", shown, re.MULTILINE))
    train = dict(part.split("=", 1) for part in jobs["finetune"].split(", "))
    expected = {"nodes": "2", "tasks": "2", "gres": "gpu:8", "gpu": "0", "mpi": "srun", "mem_mb": "400000"}
    expected |= {"runtime": "1440", "slurm_partition": "h100", "slurm_account": "physics", "qos": "long"}
    assert expected.items() <= train.items(), train
    pool = dict(part.split("=", 1) for part in jobs["build_pool"].split(", "))
    assert pool["slurm_partition"] == "short" and pool["slurm_account"] == "physics" and "gpu" not in pool
    assert "slurm_partition=h100" in jobs["evaluate"] and "gpu=1" in jobs["evaluate"]


@pytest.mark.slow
def test_only_the_oracle_is_told_the_planted_truth_and_what_learns_nothing_asks_for_no_gpu(clone):
    hardware = {"gpus": 2, "processes": 2}

    def change(study):
        study["methods"] |= {"truth": {"kind": "oracle"}, "by_size": {"kind": "size_proportional"}}
        study["experiments"]["sums"]["methods"] += ["truth", "by_size"]
        study["models"]["tiny"]["hardware"] = hardware

    clone.edit_study(change)
    shown = clone.run("-n", "-p")
    jobs = re.findall(r"^rule learn_weights:\n(?:    .*\n)*\n?(?:.*\n)*?.*learn_weights\.py.*\n", shown, re.MULTILINE)
    found = {re.search(r"method=(\w+)", job)[1]: ('"expected"' in job, "gpu=2" in job) for job in jobs}
    assert found == {
        "uniform": (False, False),
        "scalebio": (False, True),
        "truth": (True, False),
        "by_size": (False, False),
    }
