"""Grids: algorithms, environments and seeds, one ordinary run for each combination."""
