"""MT-Bench: two-turn questions, a model's answers, a judge's ratings, and scores with intervals.

The files have the fields of FastChat's `llm_judge` (Zheng et al. 2023, arXiv 2306.05685), so its readers work on them.
"""
