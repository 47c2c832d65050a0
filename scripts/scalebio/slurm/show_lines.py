"""The `sbatch` lines of a study as text for people: one block a job, flags kept together with their values."""

import shlex

from scalebio.slurm.lines import TEMPORARY, UUID, Line, Study

# Characters of the wrapped command that are shown of it, and of a line of flags.
SHOWN, WIDTH = 90, 116


def text(study: Study, full: bool = False) -> str:
    """One block a job, and a summary at the end. `full`: the very line, as one line, with the whole wrapped command."""
    blocks = [_block(line, full) for line in study.lines]
    faults = sum(line.fault is not None for line in study.lines)
    local = ", ".join(f"{rule} {count}" for rule, count in sorted(study.local.items()))
    summary = [f"{len(study.lines) - faults} sbatch lines; nothing was submitted."]
    if faults:
        summary.append(f"{faults} jobs are refused by the executor (see `refused` above).")
    if local:
        summary.append(f"Where Snakemake runs, without sbatch: {local}.")
    summary.append(f"New in each run, and zeros here: the run ({UUID}) and temporary folders ({TEMPORARY}).")
    return "\n\n".join([*blocks, "\n".join(summary)]) + "\n"


def _block(line: Line, full: bool) -> str:
    values = " ".join(f"{key}={value}" for key, value in line.wildcards.items())
    rows = [f"{line.rule}  {values}".rstrip()]
    if line.fault is not None:
        return "\n".join([*rows, *(f"  refused: {row}" for row in line.fault.strip().splitlines())])
    rows += [f"  note: {note}" for note in line.notes]
    rows += [f"  {line.call}"] if full else [f"  {row}" for row in _flags(line.call)]
    if line.script is not None:
        # Everything but the first line, which names the shell, is the wrapped command.
        rows += [f"  stdin: {row if full else _short(row)}" for row in line.script.splitlines()]
    return "\n".join(rows)


def _flags(call: str) -> list[str]:
    """The line on several rows, broken between flags only, and quoted so that each row is shell again."""
    flags: list[list[str]] = []
    for word in shlex.split(call):
        if not flags or word.startswith("-"):
            flags.append([word])
        else:
            flags[-1].append(word)
    rows = [""]
    for flag in map(_flag, flags):
        if rows[-1] and len(rows[-1]) + len(flag) >= WIDTH:
            rows.append("")
        rows[-1] += f" {flag}" if rows[-1] else flag
    return [rows[0], *(f"  {row}" for row in rows[1:])]


def _flag(words: list[str]) -> str:
    flag, separator, value = words[0].partition("=")
    if separator and flag == "--wrap":
        return f"--wrap={_short(value)}"
    return " ".join(words[:1] + [shlex.quote(word) for word in words[1:]]) if len(words) > 1 else shlex.quote(words[0])


def _short(command: str) -> str:
    if len(command) <= SHOWN:
        return shlex.quote(command)
    return f"'{command[:SHOWN]}…' ({len(command)} characters; --full shows them)"
