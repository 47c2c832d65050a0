"""What stands beside Snakemake's SLURM executor: the site, watching its jobs, those of a killed run, its sbatch lines.

Nothing here submits a job; that is the executor's business. Imports neither Snakemake nor the executor where a module is
used by the Snakefile, so that the workflow works without them.
"""
