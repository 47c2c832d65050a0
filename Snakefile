# The map of a study: raw sources → pools → weights → mixtures → models → evaluations → tables → figures → report.
# `snakemake --cores 2` runs config/demo.yaml; `--configfile config/<study>.yaml` runs another study;
# `snakemake --list-target-rules` is the catalogue of tables and figures, each of which can be asked for by name.

from snakemake.utils import min_version

min_version("9.19")

# Not a plain `configfile:`, because that would merge the demo's experiments into every other study.
if not workflow.configfiles:

    configfile: "config/demo.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/geometry.smk"
include: "workflow/rules/gate_catalogue.smk"
include: "workflow/rules/catalogue.smk"
include: "workflow/rules/figure_catalogue.smk"


report: "workflow/report/workflow.rst"


include: "workflow/rules/sources.smk"
include: "workflow/rules/pools.smk"
include: "workflow/rules/weights.smk"
include: "workflow/rules/mixtures.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/evaluations.smk"
include: "workflow/rules/math.smk"
include: "workflow/rules/mtbench.smk"
include: "workflow/rules/memory.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/gates.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/hypergradient.smk"
include: "workflow/rules/planted.smk"
include: "workflow/rules/grid.smk"
include: "workflow/rules/semantics.smk"
include: "workflow/rules/bench.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/slurm_smoke.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/ending.smk"


rule all:
    """Every table and figure of the study, the claims of the paper held against them, and the report; controls passed where that is fatal."""
    default_target: True
    input:
        TABLES.values(),
        FIGURES.values(),
        rules.claims.output,
        REPORT,
        passed("controls", *CONTROLS),
