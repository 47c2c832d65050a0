"""The Markdown beside each table: the same numbers, summed up over seeds for a reader.

What the pieces look like is in `markdown`.
"""

from collections.abc import Callable
from math import isnan, nan

import pandas as pd

from scalebio import statistics
from scalebio.tables.markdown import MISSING, document, grid, name, number, span
from scalebio.tables.runs import STEPS_KEPT

LOSS_UNIT = "nats per answer token"
BASELINE = "uniform"
TRAINED_ON_VALIDATION = (
    "Every model was trained on the validation rows as well (append_validation); test rows are others."
)
LEAK_ALLOWED = "Validation or test rows may stand in training here (leakage: allow): a control, no result."


def _by_experiment(frame: pd.DataFrame):
    return frame.groupby("experiment", sort=False)


def _range(values: pd.Series, digits: int = 4) -> list[str]:
    return [number(values.mean(), digits), span(values.min(), values.max(), digits) if len(values) > 1 else MISSING]


def trajectories(frame: pd.DataFrame) -> str:
    """First and last weight of every source."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (method, source), lines in part.groupby(["method", "source"], sort=False):
            first = lines[lines["step"] == lines.groupby("seed")["step"].transform("min")]["weight"]
            last = lines[lines["step"] == lines.groupby("seed")["step"].transform("max")]["weight"]
            rows.append([name(source), name(method), str(lines["step"].max()), number(first.mean()), *_range(last)])
        header = ["source", "method", "last step", "first weight", "last weight (mean)", "last weight (min … max)"]
        sections.append((name(experiment), grid(header, rows)))
    text = f"Weight of each source over the outer steps, at most {STEPS_KEPT} steps a run."
    return document("Source weights over steps", f"{text} Range: smallest and largest over seeds.", sections)


def weights(frame: pd.DataFrame) -> str:
    """Final weights: mean and range over seeds."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = [
            [
                name(source),
                name(method),
                number(lines["corruption"].iloc[0], 2),
                number(lines["expected"].iloc[0], 3),
                *_range(lines["weight"]),
                str(len(lines)),
                verdicts(lines["verdict"]),
            ]
            for (method, source), lines in part.groupby(["method", "source"], sort=False)
        ]
        header = ["source", "method", "corruption", "expected", "weight (mean)", "weight (min … max)", "seeds", "check"]
        leak = f"\n**{LEAK_ALLOWED}**\n" if (part["leakage"] == "allow").any() else ""
        sections.append((name(experiment), grid(header, rows) + leak))
    text = (
        "Share of each source in the learned mixture. Range: smallest and largest over seeds (not an interval). "
        "Corruption (share of answers spoiled on purpose) and expected weight are planted, never shown to a method; a dash: "
        "none planted in this experiment. Check: on how many seeds the gradient-match check confirmed the weights of the "
        "run (docs/method.md); a dash: not checked."
    )
    return document("Final source weights", text, sections)


def verdicts(values: pd.Series) -> str:
    """How many of the runs' checks confirmed their weights; a dash where none was made."""
    made = values[values != ""]
    return f"{(made == 'confirmed').sum()} of {len(made)} confirmed" if len(made) else MISSING


def _against_baseline(part: pd.DataFrame, quantity: str, lower_is_better: bool) -> str:
    values = {
        method: lines.set_index("seed")[quantity].dropna().to_dict()
        for method, lines in part.groupby("method", sort=False)
    }
    base = values.get(BASELINE, {})
    rows = []
    for method, by_seed in values.items():
        if not by_seed:
            continue
        mean = statistics.mean_interval(list(by_seed.values()))
        cells = [name(method), str(mean.n), number(mean.mean), span(mean.low, mean.high)]
        cells.append(number(statistics.spread(list(by_seed.values()))))
        if method == BASELINE or not set(by_seed) & set(base):
            cells += [MISSING] * 4
        else:
            gap = statistics.paired_difference(by_seed, base, lower_is_better=lower_is_better)
            beyond = statistics.exceeds_spread(list(by_seed.values()), list(base.values()))
            cells += [number(gap.mean, sign=True), span(gap.low, gap.high, sign=True), gap.verdict]
            cells.append("one seed" if gap.n == 1 else ("yes" if beyond else "no"))
        rows.append(cells)
    header = ["method", "seeds", "mean", "95 % interval", "spread over seeds", f"minus {name(BASELINE)}"]
    return grid([*header, "95 % interval of that", "verdict", "gap exceeds spread"], rows)


def test_loss(frame: pd.DataFrame) -> str:
    """Test loss and accuracy of every method against the baseline."""
    sections = []
    for experiment, part in _by_experiment(frame):
        sections.append((f"{name(experiment)}: test loss", _against_baseline(part, "test_loss", True)))
        if part["accuracy"].notna().any():
            sections.append((f"{name(experiment)}: accuracy", _against_baseline(part, "accuracy", False)))
    text = (
        f"Test loss in {LOSS_UNIT} (lower is better) and task accuracy (share of right answers, higher is better). "
        "Intervals: Student t over seeds; differences are paired by seed; the verdict says whether their interval "
        "leaves out zero. Last column: whether the gap of the means exceeds the larger spread (max − min) over seeds."
    )
    if (frame["trained_on"] == "validation").any():
        text += f" **{TRAINED_ON_VALIDATION}**"
    return document("Test loss by method", text, sections)


def training_curves(frame: pd.DataFrame) -> str:
    """First, lowest and last loss of every line."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (stage, method, split), lines in part.groupby(["stage", "method", "split"], sort=False):
            ordered = lines.sort_values("step", kind="stable").groupby("seed")["loss"]
            means = [ordered.first().mean(), ordered.min().mean(), ordered.last().mean()]
            rows.append([stage, name(method), split, str(lines["step"].max()), *(number(value) for value in means)])
        header = ["stage", "method", "split", "last step", "first loss", "lowest loss", "last loss"]
        sections.append((name(experiment), grid(header, rows)))
    text = (
        f"Losses in {LOSS_UNIT}, means over seeds; at most {STEPS_KEPT} steps a line. "
        "Reweighting: L1 is the validation loss of w, L2_w and L2_u the weighted training losses of w and u."
    )
    return document("Losses over steps", text, sections)


def math(frame: pd.DataFrame) -> str:
    """Accuracy on GSM8K and MATH by method, as a whole and by subject and level."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for asked, every in part.groupby(["benchmark", "grouping", "group"], sort=False):
            for method, lines in every.groupby("method", sort=False):
                one = lines.iloc[0]
                cells = [_group(*asked), name(method), *_range(100 * lines["accuracy"], 1)]
                cells.append(span(100 * one["low"], 100 * one["high"], 1) if len(lines) == 1 else MISSING)
                cells += [f"{one['n']:.0f}", *(f"{lines[count].sum():.0f}" for count in ("unparsed", "shortened"))]
                rows.append([*cells, str(len(lines))])
        header = ["questions", "method", "accuracy % (mean)", "accuracy % (min … max)", "95 % interval", "number"]
        sections.append((name(experiment), grid([*header, "not comparable", "shortened", "seeds"], rows)))
    text = (
        "Share of right answers in percent, mean over seeds; range: smallest and largest over seeds; interval, only with "
        "one seed: Wilson, over questions. Not comparable (over all seeds): answers without a final answer in a box or "
        "after `####`, or with one that is not readable as mathematics or over the limits of time and length; they count "
        "as wrong. Shortened: prompts that lost their middle to the model's context."
    )
    return document("Accuracy on GSM8K and MATH", text, sections)


def math_differences(frame: pd.DataFrame) -> str:
    """Differences of accuracy to the baseline over all seeds."""
    sections = []
    for experiment, part in _by_experiment(frame):
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
        sections.append((name(experiment), grid(header, rows)))
    text = (
        "Differences of accuracy in percentage points (positive: better than the baseline), paired by question, mean over "
        "seeds. Gained, lost: questions answered better and worse than by the baseline. p: exact test that flips the sign "
        "of each question's difference (McNemar's, with one seed), which decides the verdict at 5 %. Interval: Agresti and "
        "Min's, over questions; it speaks of other questions, not of other seeds. Smallest visible: the true difference "
        "that so many questions would show with 80 % power. Each line is tested by itself: of twenty without a true "
        "difference, about one is called better or worse."
    )
    return document("Differences to the baseline on GSM8K and MATH", text, sections)


def _group(benchmark: str, grouping: str, group: str) -> str:
    return name(benchmark) if grouping == "all" else f"{name(benchmark)}, {grouping} {name(group)}"


def _judged_by(part: pd.DataFrame) -> str:
    """The heading of what one judge rated: experiment, judge and questions."""
    first = part.iloc[0]
    return f"{name(first['experiment'])} — judge: {name(first['judge'])}; questions: {name(first['questions'])}"


def _note(part: pd.DataFrame) -> str:
    """What is to be known of the judge, as a paragraph; nothing where there is nothing."""
    notes = [note for note in dict.fromkeys(part["judge_note"]) if note]
    return f"**Judge: {'; '.join(map(name, notes))}**\n\n" if notes else ""


def _by_judge(frame: pd.DataFrame, header: list[str], rows_of: Callable[[pd.DataFrame], list]) -> list[tuple[str, str]]:
    """A section for all that one judge rated of an experiment: `rows_of` makes the rows under `header`."""
    parts = frame.groupby(["experiment", "judge", "questions"], sort=False)
    return [(_judged_by(part), _note(part) + grid(header, rows_of(part))) for _, part in parts]


def mtbench(frame: pd.DataFrame) -> str:
    """Mean score by category and turn, with judge and questions."""

    def rows_of(part: pd.DataFrame) -> list[list[str]]:
        rows = []
        for (method, category, turn), lines in part.groupby(["method", "category", "turn"], sort=False):
            scores, one = lines["score"].dropna(), lines.iloc[0]
            cells = [name(category), turn, name(method), *(_range(scores, 2) if len(scores) else [MISSING] * 2)]
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
    return document("Scores by category", text, _by_judge(frame, header, rows_of))


def mtbench_differences(frame: pd.DataFrame) -> str:
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


def mtbench_repeats(frame: pd.DataFrame) -> str:
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


def mixtures(frame: pd.DataFrame) -> str:
    """Asked and realised shares, mean over seeds."""
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = []
        for (method, source), lines in part.groupby(["method", "source"], sort=False):
            shares = [number(lines[column].mean()) for column in ("asked_share", "row_share", "token_share")]
            counts = [f"{lines[column].mean():.1f}" for column in ("rows", "truncated", "available_rows")]
            rows.append([name(source), name(method), *shares, *counts, f"{lines['max_repeats'].max():.0f}"])
        header = ["source", "method", "asked share", "row share", "token share", "rows", "truncated", "available"]
        header.append("most repeats")
        sections.append((name(experiment), grid(header, rows)))
    text = (
        "What the drawn mixture holds: the share asked for by the weights, the share it got in rows and in tokens "
        "(means over seeds), how many of the rows were cut at the model's max_length (truncated; mean over seeds), and "
        "how often its most repeated row stands in it (largest over seeds)."
    )
    return document("Mixtures asked and drawn", text, sections)


def transfer(frame: pd.DataFrame) -> str:
    """Agreement of weights learned with two models, and the regret of using the one's for the other."""
    rows = []
    for row in frame.itertuples():
        what = f"{name(row.experiment)}: {name(row.model)} → {name(row.for_model)}"
        agreement = [number(value, 3) for value in (row.spearman, row.kendall, row.total_variation, row.seed_variation)]
        regret = [number(row.regret, sign=True), span(row.low, row.high, sign=True), row.verdict or MISSING, str(row.n)]
        rows.append([what, name(row.method), *agreement, str(row.seeds), *regret, row.cannot_say or MISSING])
    header = ["weights of → for", "method", "Spearman", "Kendall", "total variation", "between seeds", "seeds"]
    header += ["regret", "95 % interval", "verdict", "pairs", "cannot say"]
    text = (
        "How much the weights that two models learned on the same sources and reference agree, and what is lost by training "
        "the second model on those of the first. Rank correlations and total variation (share of the mixture that would have "
        "to move) are of mean weights over seeds; between seeds: mean total variation of two seeds of one model, the larger "
        "of the two models' (with no more than that, models differ no more than seeds do). Regret: test loss "
        f"({LOSS_UNIT}) with transferred weights minus that with the model's own, paired by seed; positive: transfer costs."
    )
    return document("Transfer of weights between models", text, [("All pairs", grid(header, rows))])


def method_comparison(frame: pd.DataFrame) -> str:
    """Every method of an experiment beside the others: gain, distance from the planted truth, cost."""
    header = ["method", "test loss", "95 % interval", "difference", "95 % interval", "verdict", "gap closed"]
    header += ["from truth", "95 % interval", "overhead", "seeds"]
    sections = []
    for experiment, part in _by_experiment(frame):
        rows = [
            [
                name(row.method),
                number(row.test_loss),
                span(row.low, row.high),
                number(row.difference, sign=True),
                span(row.difference_low, row.difference_high, sign=True),
                row.verdict or MISSING,
                MISSING if isnan(row.gap_closed) else f"{row.gap_closed:.0%}",
                number(row.from_truth, 3),
                span(row.from_truth_low, row.from_truth_high, 3),
                f"{row.overhead:.2g}",
                str(row.seeds),
            ]
            for row in part.itertuples()
        ]
        sections.append((name(experiment), grid(header, rows)))
    text = (
        f"All methods draw as many rows and train on them alike. Test loss in {LOSS_UNIT}; difference: to the baseline, the row "
        "without one, paired by seed; gap closed: share of the way from its mean to the oracle's; from truth: total variation "
        "between weights and planted shares, 0 to 1. Overhead: compute of finding the weights over that of fine-tuning, in tokens, "
        "a token backward counting as two forward. Intervals: Student t over seeds."
    )
    return document("Methods compared", text, sections)


def costs(frame: pd.DataFrame) -> str:
    """Jobs, time and memory of every stage and in total."""
    rows = [
        [name(row.stage), str(row.jobs), f"{row.seconds:.1f}", number(row.max_memory_mb, 0)]
        for row in frame.itertuples(index=False)
    ]
    total = ["all", str(frame["jobs"].sum()), f"{frame['seconds'].sum():.1f}", number(frame["max_memory_mb"].max(), 0)]
    text = "Wall-clock seconds summed over jobs, and the largest resident memory of any job; measured by Snakemake."
    return document(
        "Time and memory by stage",
        text,
        [("All stages", grid(["stage", "jobs", "seconds", "largest memory (MB)"], [*rows, total]))],
    )


def render(table: str, frame: pd.DataFrame) -> str:
    """The Markdown of `table`."""
    return globals()[table](frame)
