"""ScaleBiO data reweighting: the library behind the entry points in `scripts/`.

Importable because it lies beside them; there is nothing to install. `config` and `records` know nobody;
`bilevel` and `weighting` know neither Snakemake nor paths; entry points know both sides and hold no logic.
"""
