"""The watchdog ends a run only when every job it waits for is known to have been out of the queue for long enough."""

import pytest

from scalebio.errors import UserError
from scalebio.slurm import watchdog
from scalebio.slurm.queue import NoAnswer, QueuedJob
from scalebio.slurm.watchdog import Waited

LIMIT = 600.0


class World:
    """What the watchdog sees of Snakemake and SLURM, and what it does."""

    def __init__(self, limit: float = LIMIT):
        self.waited, self.states, self.busy = [], {}, False
        self.warnings, self.ended, self.now, self.looks = [], [], 0.0, 0
        self.dog = watchdog.Watchdog(
            lambda: self.waited,
            self.queue,
            lambda: self.busy,
            self.warnings.append,
            self.ended.append,
            limit,
            self.looked,
        )

    def queue(self):
        self.asked = True
        if self.states is None:
            raise NoAnswer("away")
        return [QueuedJob(number, "run", state, "/", "") for number, state in self.states.items()]

    def looked(self):
        self.looks += 1

    def pass_minutes(self, count: int, step: float = 60.0) -> bool:
        """Look once a minute; whether the run was ended."""
        for _ in range(count):
            self.now += step
            if self.dog.look(self.now):
                return True
        return False


def job(number, name="train", attempt=1):
    return Waited((name, attempt, number), number, f"{name} (seed=0)", ("logs/slurm/7.log", "logs/train.log"))


def test_ends_after_the_limit_and_names_job_number_logs_and_ways_on():
    world = World()
    world.waited, world.states = [job("7"), job("8", "tune")], {"8": "COMPLETED"}
    assert not world.pass_minutes(10), "at first sight nothing is known of the time before"
    assert world.pass_minutes(1)
    (message,) = world.ended
    assert "train (seed=0): SLURM job 7, unknown to squeue\n    logs/slurm/7.log\n    logs/train.log" in message
    assert "tune (seed=0): SLURM job 8, ended as COMPLETED" in message
    assert "10 minutes" in message and "squeue --me" in message and "same command again" in message
    assert "sacct -j 7,8" in message


@pytest.mark.parametrize("state", ["PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"])
def test_a_job_in_the_queue_keeps_the_run(state):
    world = World()
    world.waited, world.states = [job("7")], {"7": state}
    assert not world.pass_minutes(1000) and not world.warnings


def test_one_that_lives_keeps_the_run_and_the_lost_one_is_told_once():
    world = World()
    world.waited, world.states = [job("7"), job("8", "tune")], {"8": "RUNNING"}
    assert not world.pass_minutes(100)
    (warning,) = world.warnings
    assert "SLURM job 7" in warning and "SLURM job 8" not in warning
    world.states = {}
    assert not world.pass_minutes(10), "the second has just left the queue"
    assert world.pass_minutes(1)


def test_an_outage_does_not_count():
    world = World()
    world.waited = [job("7")]
    assert not world.pass_minutes(5)
    world.states = None
    assert not world.pass_minutes(1000)
    world.states = {}
    # Four minutes were known before; the step over the outage is not counted either.
    assert not world.pass_minutes(6)
    assert world.pass_minutes(1)


def test_an_outage_every_other_minute_still_comes_to_an_end_only_by_known_time():
    world = World()
    world.waited = [job("7")]
    for _ in range(500):
        world.states = None if world.states is not None else {}
        assert not world.pass_minutes(1)


def test_a_machine_that_slept_counts_as_two_looks_at_most():
    world = World()
    world.waited = [job("7")]
    assert not world.pass_minutes(2)
    assert not world.pass_minutes(1, step=86_400)
    assert not world.pass_minutes(6)
    assert world.pass_minutes(1)


def test_a_new_attempt_starts_from_nothing_and_sbatch_without_answer_is_named():
    world = World()
    world.waited = [job("7")]
    assert not world.pass_minutes(10)
    world.waited = [job(None, attempt=2)]
    assert not world.pass_minutes(10)
    world.waited = [job("9", attempt=2)]
    assert not world.pass_minutes(10)
    assert world.pass_minutes(1)
    world = World()
    world.waited = [job(None)]
    assert world.pass_minutes(11)
    assert "sbatch has not answered" in world.ended[0] and "sacct" not in world.ended[0]


def test_a_local_job_is_not_torn():
    world = World()
    world.waited, world.busy = [job("7")], True
    assert not world.pass_minutes(50)
    world.busy = False
    assert world.pass_minutes(1)


def test_asks_nothing_while_nothing_is_waited_for_or_when_off():
    world = World()
    world.asked = False
    assert not world.pass_minutes(3) and not world.asked
    world = World(limit=0.0)
    world.asked, world.waited = False, [job("7")]
    assert not world.pass_minutes(100) and not world.asked
    assert world.looks == 100, "the sign of life goes on"


def test_minutes_from_the_environment():
    assert watchdog.minutes({}) == 15 and watchdog.minutes({watchdog.VARIABLE: ""}) == 15
    assert watchdog.minutes({watchdog.VARIABLE: "0.5"}) == 0.5 and watchdog.minutes({watchdog.VARIABLE: "0"}) == 0
    for wrong in ("soon", "-1", "nan", "inf"):
        with pytest.raises(UserError, match=f"{watchdog.VARIABLE}={wrong}"):
            watchdog.minutes({watchdog.VARIABLE: wrong})
