"""What a set of runs says: statistics over seeds, curves, and the files that show them."""
