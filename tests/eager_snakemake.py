"""Snakemake whose SLURM executor asks every two seconds how its jobs fare: `python tests/eager_snakemake.py ...`.

By itself it waits ten seconds longer after every poll at which no job has ended, up to three minutes, and no option says
otherwise. Nothing else is changed; tests/slurm/test_snakemake.py runs jobs without this.
"""

from snakemake.cli import main
from snakemake_executor_plugin_slurm import Executor

SECONDS = 2

if __name__ == "__main__":
    Executor.next_seconds_between_status_checks = property(lambda self: SECONDS, lambda self, seconds: None)
    main()
