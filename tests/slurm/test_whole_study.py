"""A whole study through `--profile slurm` on a real cluster, and training on several processes and nodes: results as here."""

import re
import shutil

import pandas as pd
import pytest
import training
from clones import STUDY
from training import ON_CLUSTER, WEIGHTS


@pytest.mark.slurm(limit=1800)
def test_a_whole_study_gives_what_it_gives_here(cluster, finished, clone):
    # The cluster has no network; what a login node would download was downloaded before.
    downloads = finished.path / "results/small/downloads"
    if downloads.is_dir():
        shutil.copytree(downloads, clone.path / "results/small/downloads")
    shutil.copy(finished.path / STUDY, clone.path / STUDY)
    # Its second experiment repeats rules of the first, each job with some ten seconds of processor for its start.
    clone.edit_study(lambda study: study.update(run=["sums"]))
    done = cluster.snakemake(clone, *ON_CLUSTER, "--jobs", "3", limit=1680)
    assert done.returncode == 0 and "(100%) done" in done.stdout, done.stdout

    here, there = finished.results(), clone.results()
    # Of the rest some have times in them.
    compared = re.compile(
        r"tables/(?!costs|training_costs|peak_memory|memory|transfer\.).*\.csv$|mixture\.parquet$|judgments\.jsonl$|scores\.csv$"
    )
    for name in here.keys() | there.keys():
        if compared.search(name) and "/transferred/" not in name:
            # A source's row names all experiments that read it; every other row is of one.
            lines = here[name].replace(b"sums transferred,", b"sums,").splitlines(keepends=True)
            assert b"".join(line for line in lines if b"transferred" not in line) == there[name], name
    assert training.weights(finished) == training.weights(clone)

    # By their logs: SLURM itself forgets jobs after a while.
    rules = {folder.name.removeprefix("rule_") for folder in (clone.path / "logs" / "slurm").iterdir()}
    assert {"fetch_source", "build_pool", "warm_up", "learn_weights", "draw_mixture", "finetune", "evaluate"} <= rules
    # Downloads, tables and figures stay on the login node.
    assert not [rule for rule in rules if rule.startswith(("fetch_mtbench", "fetch_math", "table", "figure"))]
    for job in re.findall(r"submitted with SLURM jobid (\d+)", done.stdout):
        assert training.said_by(clone, int(job))
    assert "failed" not in done.stdout
    assert (clone.path / training.LOG).read_text(encoding="utf-8")
    again = cluster.snakemake(clone, *ON_CLUSTER, limit=180)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout


@pytest.mark.slurm(limit=800)
def test_two_processes_on_one_node_and_on_two_learn_the_same_weights(cluster, finished, finished_copy):
    for hardware, nodes in (({"processes": 2, "cpus": 1}, 1), ({"nodes": 2, "shard": True}, 2)):
        finished_copy.edit_study(lambda study, hardware=hardware: study["models"]["tiny"].update(hardware=hardware))
        done = cluster.snakemake(finished_copy, WEIGHTS, "-f", *ON_CLUSTER, limit=360)
        assert done.returncode == 0, done.stdout
        made = finished_copy.json(WEIGHTS)
        assert made["provenance"]["world_size"] == 2
        assert made["weights"] == pytest.approx(finished.json(WEIGHTS)["weights"], abs=1e-5)
        asked = cluster.output(f"scontrol show job {cluster.jobs()[-1].id}")
        assert f"NumNodes={nodes}" in asked and "NumCPUs=2" in asked, asked


@pytest.mark.slurm(limit=480)
def test_slurm_smoke_says_what_is_there_and_what_is_not(cluster, clone):
    """Here a GPU is given and isolated by SLURM, but is none; the verdict says just that."""
    done = cluster.snakemake(clone, "slurm_smoke", *ON_CLUSTER, limit=360)
    assert done.returncode == 1
    told = done.stdout
    assert "ok   libraries" in told and "ok   two processes: 2 on node" in told and "ok   a sum over them" in told
    assert re.search(r"ok   one GPU from SLURM: CUDA_VISIBLE_DEVICES=\d$", told, re.MULTILINE)
    assert "NOT  torch sees it" in told and "verdict: NOT ready" in told
    # The next time is a new trial.
    assert not list((clone.path / "results").glob("slurm_smoke/*.json"))


@pytest.mark.slurm(limit=480)
def test_accounting_agrees_with_our_benchmarks(accounting_cluster, training_clone):
    done = accounting_cluster.snakemake(training_clone, WEIGHTS, *ON_CLUSTER, limit=300)
    assert done.returncode == 0, done.stdout
    (job,) = accounting_cluster.jobs()
    fields = "elapsedraw,cputimeraw,maxrss,reqcpus,state"
    shown = accounting_cluster.output(f"sacct -j {job.id} -n -P --units=M --format={fields}").splitlines()
    rows = [line.split("|") for line in shown]
    ours = pd.read_csv(
        training_clone.path / "results/small/benchmarks/learn_weights/sums/tiny/scalebio/seed0.tsv", sep="\t"
    ).iloc[0]
    assert rows[0][4] == "COMPLETED" and int(rows[0][3]) == 1
    # SLURM's time has the start of Snakemake, twice, on top of ours.
    assert ours["s"] <= int(rows[0][0]) + 1 <= ours["s"] + 60
    peak = max(float(row[2].removesuffix("M")) for row in rows if row[2])
    # SLURM looks every five seconds and adds up the processes of a step, Snakemake's own among them.
    assert ours["max_rss"] * 0.8 <= peak <= ours["max_rss"] + 600, (peak, ours["max_rss"])
