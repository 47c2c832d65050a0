"""What a run of Snakemake is doing, read from files only: its own log, and the last line of each running job's log.

So it works beside a run that is under way, after one that was killed, and for jobs on a cluster's other machines, as long as the
folder is shared. Times are those of Snakemake's log, to the second. Nothing is written.
"""

import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from scalebio.errors import UserError

LOGS = Path(".snakemake/log")
# Families of rules that are shown as one.
FAMILIES = {"figure_": "figures", "table_": "tables", "fetch_": "fetching"}
WAITING, RUNNING, DONE, FAILED, STOPPED = "waiting", "running", "done", "failed", "stopped"
LOCKED_OUT = "Error: Directory cannot be locked."
# Of a job's log only the end is read.
TAIL = 4096
# A run that says nothing for so long (seconds) may have been killed: that leaves no trace in its log.
SILENT = 120
# Of so many logs, the newest ones, one may be of a run that is under way.
LOOKED_AT = 20
# As `progress.Progress` writes it.
LIVE = re.compile(r"(?P<label>[^\n]*?): (?P<done>\d+)/(?P<total>\d+), \d+ s(?:, (?P<left>\d+) s left)?(?P<rest>.*)")


@dataclass
class Job:
    """One job of the run; `started` and `ended` in seconds since the epoch, `ended` also for one that failed."""

    number: int
    rule: str
    wildcards: str = ""
    log: str = ""
    state: str = RUNNING
    started: float = 0.0
    ended: float | None = None
    slurm: str = ""


@dataclass
class Run:
    """One run of Snakemake: planned jobs by rule, the jobs that have begun, and how it ended (None while it has not;
    `STOPPED`: before its end, at Ctrl-C)."""

    path: Path
    header: dict[str, str] = field(default_factory=dict)
    planned: dict[str, int] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    finished: int = 0
    total: int = 0
    outcome: str | None = None
    first: float = 0.0
    last: float = 0.0

    def running(self) -> list[Job]:
        """Jobs that have begun and not ended, oldest first. On a cluster these may still wait in its queue."""
        return sorted((job for job in self.jobs.values() if job.state == RUNNING), key=lambda job: job.started)

    def failed(self) -> list[Job]:
        """Jobs that failed and were not tried again."""
        return [job for job in self.jobs.values() if job.state == FAILED]


@dataclass(frozen=True)
class Live:
    """The last line of a job's log: steps done of all and seconds left where it is a line of progress, and its text."""

    text: str
    done: int | None = None
    total: int | None = None
    left: float | None = None


def newest(folder: Path, study: str | None, now: float) -> Run:
    """The run that is under way at `now` in `folder`, or the newest run; of that study, if one is given.

    Raises UserError if there is none.
    """
    mentioned, found = f"results/{study}/", []
    for path in sorted((folder / LOGS).glob("*.snakemake.log"), reverse=True):
        text = path.read_text(encoding="utf-8", errors="replace")
        # One that found the folder locked is not the run that locked it.
        if (study is None or mentioned in text) and LOCKED_OUT not in text:
            found.append(_parse(path, text))
            # An audit beside a run leaves a newer log, and so does a study that cannot be planned.
            if found[-1].outcome is None and found[-1].total and now - last_heard(found[-1], folder) <= SILENT:
                return found[-1]
            if len(found) == LOOKED_AT:
                break
    if found:
        return found[0]
    what = f"of study `{study}`" if study else "of Snakemake"
    raise UserError(
        f"no run {what} has left a log in {folder / LOGS}. Start one, or run this in the folder of the Snakefile."
    )


def last_heard(run: Run, folder: Path) -> float:
    """When the run or one of its running jobs last wrote into a log, in seconds since the epoch."""
    files = [run.path, *(folder / job.log for job in run.running() if job.log)]
    return max(file.stat().st_mtime for file in files if file.is_file())


def study_of(files: list[str]) -> str | None:
    """The name of the study that these study files make together; None where none is given.

    Raises UserError naming a file that cannot be read, or if none of them has the key `study`.
    """
    names = []
    for file in files:
        try:
            content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise UserError(f"study file {file}: cannot be read ({error}).") from error
        names += [str(content["study"])] if isinstance(content, dict) and "study" in content else []
    if files and not names:
        raise UserError(f"{', '.join(files)}: no key `study`, so it is not known which run to show.")
    return names[-1] if names else None


def read(path: Path) -> Run:
    """The run that a Snakemake log tells of, as far as it has come."""
    return _parse(path, path.read_text(encoding="utf-8", errors="replace"))


def _parse(path: Path, text: str) -> Run:
    run, now, job, counting, closed = Run(path), 0.0, None, False, False
    for line in text.splitlines():
        if stamp := re.fullmatch(r"\[(\w{3} \w{3} +\d+ [\d:]+ \d{4})\]", line):
            now = time.mktime(time.strptime(stamp[1]))
            run.first, run.last, job = run.first or now, now, None
        elif begun := re.fullmatch(r"(?:local)?(?:rule|checkpoint) (\w+):", line):
            job = Job(-1, begun[1], started=now)
        elif re.fullmatch(r"Error in rule \w+:", line):
            job = Job(-1, "", state=FAILED)
        elif line.startswith("    ") and job:
            _detail(run, job, *line.strip().partition(": ")[::2], now)
        elif ended := re.match(r"Finished jobid: (\d+)", line):
            _end(run, int(ended[1]), DONE, now)
        elif again := re.match(r"Trying to restart job (\d+)\.", line):
            if int(again[1]) in run.jobs:
                run.jobs[int(again[1])].state = WAITING
        elif sent := re.match(r"Job (\d+) has been submitted with SLURM jobid (\d+)", line):
            if int(sent[1]) in run.jobs:
                run.jobs[int(sent[1])].slurm = sent[2]
        elif steps := re.match(r"(\d+) of (\d+) steps", line):
            run.finished, run.total = int(steps[1]), int(steps[2])
        elif line.startswith("Job stats:"):
            counting, run.planned = True, {}
        elif counting and (counted := re.fullmatch(r"(\w+) +(\d+)", line)):
            run.planned[counted[1]] = int(counted[2])
        elif fact := re.match(r"  ([A-Z][\w() ]+): (.*)", line):
            run.header[fact[1]] = fact[2]
        elif line.startswith("Exiting because a job execution failed"):
            run.outcome = FAILED
        elif line.startswith("Complete log(s):"):
            closed = True
        elif line.startswith("Nothing to be done"):
            run.outcome = DONE
        counting = counting and line != ""
    # The table's own last line.
    run.total = run.total or run.planned.get("total", 0)
    run.planned.pop("total", None)
    if closed and run.outcome is None:
        run.outcome = DONE if run.finished >= run.total else STOPPED
    return run


def _detail(run: Run, job: Job, key: str, value: str, now: float) -> None:
    """One indented line of a job's block; its number makes it known."""
    if key == "jobid":
        if job.state == FAILED:
            _end(run, int(value), FAILED, now)
        else:
            job.number = int(value)
            run.jobs[job.number] = job
    elif key == "log":
        job.log = value.split(" (check log", 1)[0].split(", ")[0]
    elif key == "wildcards":
        job.wildcards = "/".join(part.partition("=")[2] for part in value.split(", "))


def _end(run: Run, number: int, state: str, now: float) -> None:
    if number in run.jobs:
        run.jobs[number].state, run.jobs[number].ended = state, now


def _end_of(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode("utf-8", errors="replace")


def live(job: Job, folder: Path) -> Live | None:
    """The last line that a running job has written; None where there is none of this attempt yet."""
    path = folder / job.log
    try:
        # A second's grace, because Snakemake's own times are whole seconds.
        if not job.log or path.stat().st_mtime < job.started - 1:
            return None
        lines = re.split(r"[\r\n]+", _end_of(path))
    except OSError:
        return None
    text = next((line.strip() for line in reversed(lines) if line.strip()), "")
    if not text:
        return None
    if not (found := LIVE.fullmatch(text)):
        return Live(text)
    rest = re.sub(r"^,? *", "", found["rest"])
    done, total = int(found["done"]), int(found["total"])
    return Live(rest, done, total, float(found["left"]) if found["left"] else (0.0 if done >= total else None))


def last_words(job: Job, folder: Path) -> str:
    """What a failed job ended with: from its last `error:` on, else its last line; and where its log lies."""
    try:
        text = _end_of(folder / job.log).strip() if job.log else ""
    except OSError:
        text = ""
    _, error, message = text.rpartition("error: ")
    said = f"{error}{message}" if error else text[text.rfind("\n") + 1 :]
    return " ".join(f"{said} ({job.log})".split()) if said else (job.log or "it has no log")


def family(rule: str) -> str:
    """What a rule is shown as: its own name, or that of all that draw figures, make tables, or fetch."""
    return next((shown for start, shown in FAMILIES.items() if rule.startswith(start)), rule)


def mean_seconds(run: Run) -> dict[str, float]:
    """Mean duration of the jobs of each family that have ended, in seconds; on a cluster with their time in the queue."""
    took = defaultdict(list)
    for job in run.jobs.values():
        if job.state == DONE:
            took[family(job.rule)].append(job.ended - job.started)
    return {name: sum(times) / len(times) for name, times in took.items()}


def time_left(run: Run, now: float, lines: dict[int, Live | None]) -> tuple[float, list[str]]:
    """Seconds that what is left will take at the pace so far, and the families of which none has ended, so none is counted.

    Left is the mean of its family for a job that has not begun, and for one that runs what its own line says, or else the rest
    of that mean. It is divided by how many jobs ran side by side so far.
    """
    means, begun = mean_seconds(run), defaultdict(int)
    work, unknown, longest = 0.0, set(), 0.0
    for job in run.jobs.values():
        name = family(job.rule)
        begun[name] += job.state != WAITING
        if job.state != RUNNING:
            continue
        line = lines.get(job.number)
        left = line.left if line else None
        if left is None and name in means:
            left = max(means[name] - (now - job.started), 0.0)
        if left is None:
            unknown.add(name)
        else:
            work, longest = work + left, max(longest, left)
    for name, count in planned_families(run).items():
        waiting = count - begun[name]
        if waiting > 0 and name in means:
            work += waiting * means[name]
        elif waiting > 0:
            unknown.add(name)
    busy = sum((job.ended or now) - job.started for job in run.jobs.values())
    side_by_side = max(busy / max(now - run.first, 1.0), 1.0)
    return max(work / side_by_side, longest), sorted(unknown)


def planned_families(run: Run) -> Counter:
    """Planned jobs by family, in the order of Snakemake's own table; without the target, which is no job."""
    planned = Counter()
    for rule, count in run.planned.items():
        if rule != "all":
            planned[family(rule)] += count
    return planned
