"""Hold ScaleBiO's λ gradient against exact hypergradients: on quadratics in closed form, and on a tiny language model.

Settings: seeds (of the tiny language model; steps are followed at seed 0).
"""

from scalebio.cli import parser, run


def main() -> None:
    """Write the tidy table and its message."""
    import os

    import torch

    from scalebio import hypergradient_check
    from scalebio.files import replacing, write_text
    from scalebio.provenance import write_beside

    options = parser(__doc__)
    options.add_argument("--csv", required=True)
    options.add_argument("--markdown", required=True)
    arguments = options.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    table = hypergradient_check.check(arguments.settings["seeds"])
    with replacing(arguments.csv) as temporary:
        table.to_csv(temporary, index=False)
    write_text(arguments.markdown, hypergradient_check.summary(table).markdown())
    write_beside(arguments.csv, arguments.settings, {}, markdown=arguments.markdown)


if __name__ == "__main__":
    run(main)
