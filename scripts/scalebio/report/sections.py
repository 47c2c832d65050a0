"""What the report holds, in the order in which it is read: names of tables and figures, and how to read each section.

A name whose table or figure a study does not have is left out there, and so is a section without anything. What
is under `more` is folded at first: the page is read in minutes, and the rest is there for who wants it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One section of the page.

    `figures` and `more_figures` (folded): captions, `workflow/report/<caption>.rst`, of the figures, each shown for every
    experiment that has it. `tables` and `more_tables` (folded): names in the catalogue of tables. A section without any is
    written by `facts`. Tables stand before figures unless `figures_first`.
    """

    name: str
    title: str
    lead: str
    figures: tuple[str, ...] = ()
    more_figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    more_tables: tuple[str, ...] = ()
    figures_first: bool = False


SECTIONS = (
    Section(
        "question",
        "Question",
        "What was asked, of which model, and what came out. Read the verdicts here first, and the sections below for why.",
    ),
    Section(
        "sources",
        "Sources",
        "Where every row comes from and what was left out of it. Hashes are of the rows themselves: equal hash, equal rows.",
        more_tables=("sources",),
    ),
    Section(
        "weights",
        "Learned weights",
        "How much each source should count, as a share of 1 that says nothing about its size. Look for seeds that agree, "
        "and for weights that the gradient-match check confirmed.",
        figures=("final_weights", "weights", "weights_by_model"),
        more_figures=("reweighting_curves",),
        tables=("weight_intervals",),
        more_tables=("weights", "transfer", "trajectories"),
        figures_first=True,
    ),
    Section(
        "mixture",
        "Realised mix",
        "What the fine-tuning data really hold: rows are drawn by the weights, but a small source runs out and long answers "
        "take more tokens.",
        figures=("mixtures",),
        more_tables=("mixtures",),
    ),
    Section(
        "scores",
        "Scores",
        "What the models trained on the mixtures can do. All methods draw as many rows and train alike, so differences "
        "come from the mixture, longer answers and thus more tokens included; they count where their interval leaves out zero.",
        figures=("test_loss", "method_comparison", "math", "mtbench_differences", "mtbench"),
        more_figures=("ablations", "mtbench_radar", "mtbench_repeats", "training_curves"),
        tables=("method_comparison",),
        more_tables=("test_loss", "math_differences", "math", "mtbench_differences", "mtbench", "mtbench_repeats")
        + ("ablations", "training_curves"),
    ),
    Section(
        "claims",
        "Claims",
        "Each claim of the paper and how its tests ended; unfold a claim for the values there and here, or for why it was not run.",
        tables=("claims",),
    ),
    Section(
        "gates",
        "Gates",
        "Checks that a result has to pass before it is believed. One that is fatal and failed takes the result back.",
        tables=("gates",),
    ),
    Section(
        "provenance",
        "Provenance",
        "What made these numbers. More than one value in a line means that results of different code, data or machines "
        "stand side by side.",
        more_tables=("hyperparameters",),
    ),
    Section(
        "cost",
        "Cost",
        "What the study took on this machine, by stage.",
        tables=("costs",),
        more_tables=("training_costs", "memory", "peak_memory"),
    ),
)


def named(kind: str) -> set[str]:
    """Every name that any section lists under `kind`, "tables" or "figures", folded or not."""
    return {name for section in SECTIONS for key in (kind, f"more_{kind}") for name in getattr(section, key)}
