"""Made-up studies whose figures the tests draw: a usual one, one with spoiled sources, one seed, odd names."""

from importlib import import_module

from figures import synthetic

from scalebio.figures import house
from scalebio.tables import inputs, tidy

TABLE_OF = {"weights": "trajectories", "final_weights": "weights"}
OTHERS = {"weights_by_model": "weights"}
# Those that no figure shows, and the one on which no figure is drawn here.
NOT_DRAWN = {"costs", "transfer", "hyperparameters", "training_costs", "sources", "memory", "peak_memory", "gates"}
JUDGED = {"mtbench": "mtbench", "mtbench_radar": "mtbench", "mtbench_differences": "mtbench_differences"}
JUDGED |= {"mtbench_repeats": "mtbench_repeats"}
NOISE = {f"noise_{rate}": rate / 100 for rate in (0, 20, 40, 60, 80, 100)}
LANGUAGES = ["de", "en", "es", "fr", "ja", "pl"]
# Names that matplotlib would read as formulas or hide, and long ones.
ODD = [
    "$x_1$ <b>100%</b>",
    "_hidden",
    "a\\frac{b}",
    "teknium-GPTeacher-General-Instruct-long",
    *map("part {}".format, range(8)),
]
# Spoiled sources that form no series of rates: one among seven, and two among four of which nothing is expected.
SKILLS = ["sums", "spelling", "complex", "sums_wrong", "siblings", "equations", "letters"]
SWAPPED = ["gpt4", "gpt4_half_swapped", "gpt4_all_swapped", "alpaca"]
STUDIES = {
    "usual": (
        {
            "denoising": {"sources": list(NOISE), "corruption": NOISE, "expected": {"noise_0": 1.0}, "accuracy": True},
            "multilingual": {"sources": LANGUAGES, "expected": {"de": 1.0}},
            "instruction following, a long name": {
                "sources": ["sorting", "arithmetic", "reversal", "dates", "spelling", "counting"],
                "expected": {"sorting": 0.6, "arithmetic": 0.4},
                "accuracy": True,
                "categories": ["sorting", "arithmetic", "dates"],
                "repeats": 3,
            },
        },
        3,
        synthetic.METHODS,
    ),
    "spoiled": (
        {
            "instruction": {
                "sources": SKILLS,
                "corruption": {"sums_wrong": 1.0},
                "expected": {"sums": 0.4, "spelling": 0.3, "complex": 0.3},
                "categories": ["math"],
            },
            "alpaca": {"sources": SWAPPED, "corruption": {"gpt4_half_swapped": 0.5, "gpt4_all_swapped": 1.0}},
        },
        3,
        synthetic.METHODS,
    ),
    "one seed": ({"solo": {"sources": LANGUAGES[:2], "categories": ["math"]}}, 1, synthetic.METHODS),
    "odd": (
        {"odd": {"sources": ODD, "categories": ["Roleplay", "$x_1$ <b>STEM</b>, a long name"]}},
        3,
        ("uniform", "scalebio", "less", "rho_$1$"),
    ),
}


class Study:
    """Tables of one made-up study and its figures."""

    def __init__(self, folder, name):
        experiments, seeds, methods = STUDIES[name]
        self.name, self.experiments, self.methods = name, experiments, methods
        settings = synthetic.make_study(folder / "runs", experiments, seeds, methods, steps=40)
        settings["variations"] = self.variations = synthetic.make_variations(experiments, methods)
        self.paths, self.finished = {}, {}
        for table in sorted(inputs.LOADERS.keys() - NOT_DRAWN):
            self.paths[table] = folder / f"{table}.csv"
            inputs.build(table, settings).to_csv(self.paths[table], index=False)

    def table(self, figure):
        module = import_module(f"scalebio.figures.{figure}")
        return tidy.read_csv(self.path(figure), module.COLUMNS, text=getattr(module, "TEXT", ()))

    def path(self, figure):
        return self.paths[(TABLE_OF | OTHERS | JUDGED).get(figure, figure)]

    def settings(self, figure, experiment=None, **more):
        experiment = experiment or (next(iter(self.experiments)) if figure in TABLE_OF else None)
        facts = self.experiments.get(experiment, {})
        known = {key: facts.get(key) for key in ("sources", "corruption", "expected")} | {"rows": 1000}
        if figure == "weights_by_model":
            more = {"groups": synthetic.make_groups(self.experiments, self.methods)} | more
        return {"study": self.name, "experiment": experiment, **known, **more}

    def draw(self, figure, experiment=None, **more):
        with house.style():
            settings = self.settings(figure, experiment, **more)
            return import_module(f"scalebio.figures.{figure}").draw(self.table(figure), settings)

    def rendered(self, figure, experiment=None):
        """The figure with everything in its final place; kept, because several tests look at it."""
        if (figure, experiment) not in self.finished:
            self.finished[figure, experiment] = self.draw(figure, experiment)
            with house.style():
                self.finished[figure, experiment].canvas.draw()
        return self.finished[figure, experiment]
