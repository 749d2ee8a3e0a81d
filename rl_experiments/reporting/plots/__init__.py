"""Plots for a quick look, with the flags of the zoo's: training episodes, evaluations, results put together."""
