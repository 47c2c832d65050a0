"""GSM8K and MATH: questions with known answers, a model's answers to them, and how many are right.

`benchmarks` reads questions, `answering` asks a model, `grading` tells right from wrong, `scores` counts and compares.
"""
