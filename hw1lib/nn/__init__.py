"""The networks and their parts, written from scratch; needs NumPy and SciPy only."""
