"""A site is described by what its own commands say; here they are scripts that print what a real SLURM 22.05 printed."""

import os

import pytest

from scalebio.errors import UserError
from scalebio.slurm import site

CONFIG = "MinJobAge               = 300 sec\nAccountingStorageEnforce = none\n"


@pytest.fixture
def described(tmp_path):
    """Environment in which SLURM's commands print the given texts (labelled stand-ins, not SLURM)."""

    def make(variables: dict, **prints) -> dict:
        prints = {"sbatch": "", "sinfo": "gpu\ncpu*\n", "scontrol": CONFIG, "sacctmgr": "", **prints}
        for name, text in prints.items():
            (tmp_path / name).write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\n")
            (tmp_path / name).chmod(0o755)
        return {"PATH": f"{tmp_path}:{os.environ['PATH']}", "USER": "ada"} | variables

    return make


NONE = {""}


def test_nothing_need_be_said_where_slurm_has_defaults(described):
    assert site.check(described({}), NONE, NONE) == []


def test_values_that_the_site_has_are_taken(described):
    assert site.check(described({}), {"cpu", "gpu", "cpu,gpu"}, {"physics"}) == []


def test_a_partition_that_is_not_there(described):
    with pytest.raises(UserError, match="no partition big; there are: gpu, cpu. Correct SCALEBIO_SLURM_PARTITION"):
        site.check(described({}), {"big", "cpu"}, NONE)


def test_a_partition_is_needed_where_there_is_no_default(described):
    environment = described({}, sinfo="gpu\ncpu\n")
    with pytest.raises(UserError, match="Set SCALEBIO_SLURM_PARTITION to one of gpu, cpu, and SCALEBIO_SLURM_GPU_PART"):
        site.check(environment, {"", "gpu"}, NONE)
    assert site.check(environment, {"cpu"}, NONE) == []
    assert site.check(environment | {"SNAKEMAKE_SLURM_PARTITIONS": "partitions.yaml"}, NONE, NONE) == []


def test_an_account_is_needed_where_it_is_enforced(described):
    enforced = CONFIG.replace("= none", "= associations,limits")
    environment = described({}, scontrol=enforced, sacctmgr="")
    with pytest.raises(UserError, match="Set SCALEBIO_SLURM_ACCOUNT to an account that you may use"):
        site.check(environment, NONE, NONE)
    assert site.check(environment, NONE, {"physics"}) == []
    assert site.check(described({}, scontrol=enforced, sacctmgr="physics\n"), NONE, NONE) == []


def test_a_short_memory_of_ended_jobs_is_a_warning(described):
    (warning,) = site.check(described({}, scontrol=CONFIG.replace("300", "60")), NONE, NONE)
    assert "forgets ended jobs after 60 s" in warning


def test_no_slurm_at_all(tmp_path):
    with pytest.raises(UserError, match="no `sbatch` here.*login node"):
        site.check({"PATH": str(tmp_path)}, NONE, NONE)


def test_a_controller_that_is_down(described):
    with pytest.raises(UserError, match="is the controller up"):
        site.check(described({}, sinfo=""), NONE, NONE)
