"""The audit of a study before a GPU-hour is spent: what would run and why, whether it fits, what it costs, what would fail.

`plan` asks Snakemake itself for the jobs, `explain` says why a result is stale, `work` counts passes over tokens, `memory`, `times`,
`disk` and `judging` turn them into gigabytes, hours and dollars, `sources`, `rows` and `checks` look for what would fail,
`findings` is the form of what they find, and `page` writes it all down. Nothing is downloaded, and no model gets values.
"""
