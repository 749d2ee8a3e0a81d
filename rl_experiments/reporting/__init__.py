"""Reports: what a set of runs says."""
