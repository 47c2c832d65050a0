"""What stands beside Snakemake's SLURM executor: watching its jobs, finding those of a killed run, showing its lines.

Nothing here submits a job; that is the executor plugin's business. Imports neither Snakemake nor the plugin where a
module is used by the Snakefile, so that the workflow works without them.
"""
