"""Two and four real processes, replicated and sharded, give the weights and models of one."""

import json
import sys

import jobs
import parallel_worker
import pytest

from scalebio.config import Hardware
from scalebio.errors import UserError
from scalebio.launching import launch_line
from scalebio.parallel import Parallel


@pytest.fixture(scope="module")
def alone():
    return parallel_worker.run(Parallel())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "ways"),
    [(2, [{}, {"shard": True}]), (4, [{"micro_batch": 2}, {"shard": True, "micro_batch": 1}])],
)
def test_many_processes_equal_one(alone, tmp_path, processes, ways):
    launcher = launch_line(sys.executable, Hardware(processes=processes)).split()
    jobs.run(["tests/parallel_worker.py", str(tmp_path / "out.json"), *map(json.dumps, ways)], "env", *launcher)
    for way, many in zip(ways, json.loads((tmp_path / "out.json").read_text()), strict=True):
        assert many["world"] == processes and many["shard"] == ("shard" in way)
        assert alone.keys() - many["found"].keys() == ({"doremi"} if many["shard"] else set())
        for mode, other in many["found"].items():
            one = alone[mode]
            for ours, theirs in zip(one["weights"], other["weights"], strict=True):
                assert theirs == pytest.approx(ours, abs=1e-5), (way, mode)
            assert other["losses"] == pytest.approx(one["losses"], abs=1e-5), (way, mode)
            assert other["norms"] == pytest.approx(one["norms"], rel=1e-5), (way, mode)
            assert other["states"] == one["states"], (way, mode)
    # The comparison can fail: weights move, and modes differ.
    assert (
        max(abs(a - b) for a, b in zip(alone["full"]["weights"][0], alone["full"]["weights"][-1], strict=True)) > 1e-2
    )
    assert alone["full"]["weights"][-1] != pytest.approx(alone["lisa"]["weights"][-1], abs=1e-4)


def test_offloading_from_the_cpu_to_the_cpu_is_refused():
    if Parallel().device.type == "cpu":
        with pytest.raises(UserError, match="`offload` needs GPUs"):
            Parallel(shard=True, offload=True)
