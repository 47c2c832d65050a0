"""Figures: one file each, drawn from one tidy table and a few settings, all in the house style of `house`."""

NAMES = ("weights", "final_weights", "test_loss", "training_curves", "mixtures", "method_comparison")
NAMES += ("ablations", "weights_by_model", "math", "mtbench", "mtbench_radar", "mtbench_differences", "mtbench_repeats")
# Of no study: checks of the method itself.
CHECKS = ("hypergradient", "semantics", "growth", "bench", "memory_check")
