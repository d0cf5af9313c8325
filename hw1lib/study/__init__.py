"""The report's experiments: run, recorded, compared."""
