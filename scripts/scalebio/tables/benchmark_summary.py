"""What a reader sees of the tables of benchmarks: MT-Bench, GSM8K and MATH, summed up over seeds."""

from collections.abc import Callable
from math import nan

import pandas as pd

from scalebio.tables.readable import MISSING, Document, Grid, document, grid, mean_and_range, name, number, span, strong


def math(frame: pd.DataFrame) -> Document:
    """Accuracy on GSM8K and MATH by method, as a whole and by subject and level."""
    sections = []
    for experiment, part in frame.groupby("experiment", sort=False):
        rows = []
        for asked, every in part.groupby(["benchmark", "grouping", "group"], sort=False):
            for method, lines in every.groupby("method", sort=False):
                one = lines.iloc[0]
                cells = [_group(*asked), name(method), *mean_and_range(100 * lines["accuracy"], 1)]
                cells.append(span(100 * one["low"], 100 * one["high"], 1) if len(lines) == 1 else MISSING)
                cells += [f"{one['n']:.0f}", *(f"{lines[count].sum():.0f}" for count in ("unparsed", "shortened"))]
                rows.append([*cells, str(len(lines))])
        header = ["questions", "method", "accuracy % (mean)", "accuracy % (min … max)", "95 % interval", "number"]
        sections.append((name(experiment), grid([*header, "not comparable", "shortened", "seeds"], rows, left=2)))
    whole = frame[frame["grouping"] == "all"]
    percent = whole.assign(accuracy=100 * whole["accuracy"])
    sections.insert(0, ("Accuracy in percent, side by side", _side_by_side(percent, "benchmark", "accuracy", 1)))
    text = (
        "Share of right answers in percent, mean over seeds; range: smallest and largest over seeds; interval, only with "
        "one seed: Wilson, over questions. Not comparable (over all seeds): answers without a final answer in a box or "
        f"after {name('####')}, or with one that is not readable as mathematics or over the limits of time and length; they count "
        "as wrong. Shortened: prompts that lost their middle to the model's context."
    )
    return document("Accuracy on GSM8K and MATH", text, sections)


def math_differences(frame: pd.DataFrame) -> Document:
    """Differences of accuracy to the baseline over all seeds."""
    sections = []
    for experiment, part in frame.groupby("experiment", sort=False):
        rows = []
        for line in part[part["seed"] == "all"].itertuples():
            same = part[(part["method"] == line.method) & (part["seed"] != "all") & (part["group"] == line.group)]
            same = same[(same["benchmark"] == line.benchmark) & (same["grouping"] == line.grouping)]
            by_seed = 100 * same["difference"]
            cells = [_group(line.benchmark, line.grouping, line.group), f"{name(line.method)} − {name(line.baseline)}"]
            cells += [number(100 * line.difference, 1, sign=True), span(100 * line.low, 100 * line.high, 1, sign=True)]
            cells += [f"{value:.0f}" for value in (line.n, line.gained, line.lost)]
            cells += [f"{line.p:.2g}", number(100 * line.smallest_visible, 1), line.verdict]
            lowest = by_seed.min() if len(by_seed) > 1 else nan
            rows.append([*cells, span(lowest, by_seed.max(), 1, sign=True)])
        header = ["questions", "comparison", "difference (points)", "95 % interval", "number", "gained", "lost", "p"]
        header += ["smallest visible", "verdict", "by seed (min … max)"]
        sections.append((name(experiment), grid(header, rows, left=2)))
    text = (
        "Differences of accuracy in percentage points (positive: better than the baseline), paired by question, mean over "
        "seeds. Gained, lost: questions answered better and worse than by the baseline. p: exact test that flips the sign "
        "of each question's difference (McNemar's, with one seed), which decides the verdict at 5 %. Interval: Agresti and "
        "Min's, over questions; it speaks of other questions, not of other seeds. Smallest visible: the true difference "
        "that so many questions would show with 80 % power. Each line is tested by itself: of twenty without a true "
        "difference, about one is called better or worse."
    )
    return document("Differences to the baseline on GSM8K and MATH", text, sections)


def _side_by_side(frame: pd.DataFrame, column: str, value: str, digits: int) -> Grid:
    """Means over seeds with a column for each entry of `column`, as the paper prints them: a row an experiment and method."""
    columns = list(dict.fromkeys(frame[column]))
    means = frame.groupby(["experiment", "method", column], sort=False)[value].mean().unstack(column)
    rows = [
        [*map(name, who), *(number(found[entry], digits) for entry in columns)]
        for who, found in zip(means.index, means.to_dict("records"), strict=True)
    ]
    return grid(["experiment", "method", *map(name, columns)], rows, left=2)


def _group(benchmark: str, grouping: str, group: str) -> str:
    return name(benchmark) if grouping == "all" else f"{name(benchmark)}, {grouping} {name(group)}"


def _judged_by(part: pd.DataFrame) -> str:
    """The heading of what one judge rated: experiment, judge and questions."""
    first = part.iloc[0]
    return f"{name(first['experiment'])} — judge: {name(first['judge'])}; questions: {name(first['questions'])}"


def _note(part: pd.DataFrame) -> str:
    """What is to be known of the judge, as a paragraph; nothing where there is nothing."""
    notes = [note for note in dict.fromkeys(part["judge_note"]) if note]
    return strong(f"Judge: {'; '.join(map(name, notes))}") if notes else ""


def _by_judge(
    frame: pd.DataFrame, header: list[str], rows_of: Callable[[pd.DataFrame], list]
) -> list[tuple[str, Grid]]:
    """A section for all that one judge rated of an experiment: `rows_of` makes the rows under `header`."""
    parts = frame.groupby(["experiment", "judge", "questions"], sort=False)
    return [(_judged_by(part), grid(header, rows_of(part), _note(part))) for _, part in parts]


def mtbench(frame: pd.DataFrame) -> Document:
    """Mean score by category and turn, with judge and questions."""

    def rows_of(part: pd.DataFrame) -> list[list[str]]:
        rows = []
        for (method, category, turn), lines in part.groupby(["method", "category", "turn"], sort=False):
            scores, one = lines["score"].dropna(), lines.iloc[0]
            cells = [name(category), turn, name(method), *(mean_and_range(scores, 2) if len(scores) else [MISSING] * 2)]
            cells.append(span(one["low"], one["high"], 2) if len(lines) == 1 else MISSING)
            cells.append(number((lines["judge_sd"] ** 2).mean(skipna=False) ** 0.5 / len(lines) ** 0.5, 2))
            cells += [f"{lines[count].sum():.0f}" for count in ("n", "failed", "cut")]
            rows.append([*cells, str(len(lines)), f"{lines['repeats'].max():.0f}"])
        return rows

    header = ["category", "turn", "method", "score (mean)", "score (min … max)", "95 % interval", "judge's sd"]
    header += ["ratings", "failed", "cut", "seeds", "judged"]
    text = (
        "Scores from 1 to 10 (higher is better), mean over seeds; range: smallest and largest over seeds; interval, only "
        "with one seed: over questions. Judge's sd: standard deviation of the mean that the judge alone makes, known "
        "where answers are judged more than once (last column). Failed: judgments without a readable rating, in no mean. "
        "Cut: judgments of answers that lost their middle to the judge's context. Scores of different judges or "
        "questions are not comparable."
    )
    beside = [
        (f"Categories side by side, rated by {name(judge)}", _side_by_side(part, "category", "score", 2))
        for (judge, _), part in frame[frame["turn"] == "both"].groupby(["judge", "questions"], sort=False)
    ]
    return document("Scores by category", text, [*beside, *_by_judge(frame, header, rows_of)])


def mtbench_differences(frame: pd.DataFrame) -> Document:
    """Differences to the baseline by category, over all seeds, and what the judge does to the same answers."""

    def rows_of(part: pd.DataFrame) -> list[list[str]]:
        rows = []
        for line in part[part["seed"] == "all"].itertuples():
            same = part[(part["comparison"] == "method") & (part["method"] == line.method) & (part["seed"] != "all")]
            by_seed = same[same["category"] == line.category]["difference"].dropna()
            what = f"{name(line.method)} − {name(line.baseline)}" if line.comparison == "method" else line.comparison
            cells = [what, name(line.category), number(line.difference, 2, sign=True)]
            cells += [span(line.low, line.high, 2, sign=True), str(line.n), number(line.smallest_visible, 2)]
            lowest = by_seed.min() if len(by_seed) > 1 else nan
            rows.append([*cells, line.verdict, span(lowest, by_seed.max(), 2, sign=True)])
        return rows

    header = ["comparison", "category", "difference", "95 % interval", "questions", "smallest visible", "verdict"]
    header.append("by seed (min … max)")
    text = (
        "Differences in points of the score (positive: better than the baseline), paired by question, mean over turns, "
        "repeats and seeds. Interval: over questions, none below six; it speaks of other questions, not of other seeds. "
        "Smallest visible: the true difference that these questions would show with 80 % power at two-sided 5 %. Judge "
        "noise: the same answers judged again, odd minus even repeats. Each line is tested by itself: of twenty without "
        "a true difference, about one is called better or worse."
    )
    return document("Differences to the baseline by category", text, _by_judge(frame, header, rows_of))


def mtbench_repeats(frame: pd.DataFrame) -> Document:
    """Scores after each number of repeats."""

    def rows_of(part: pd.DataFrame) -> list[list[str]]:
        return [
            [
                name(line.method),
                f"{line.repeats:.0f}",
                number(line.score, 2),
                span(line.low, line.high, 2),
                number(line.judge_sd, 3),
                f"{line.n:.0f}",
                f"{line.failed:.0f}",
            ]
            for line in part[part["seed"] == "all"].itertuples()
        ]

    header = ["method", "repeats", "score (mean)", "95 % interval", "judge's sd", "ratings", "failed"]
    text = (
        "Score over all categories, turns and seeds if the judge had stopped after so many repeats. Interval: over "
        "questions, which more repeats do not replace. Judge's sd: what the judge alone adds to the mean."
    )
    return document("Scores by judge repeats", text, _by_judge(frame, header, rows_of))
