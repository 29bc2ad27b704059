"""The groups of measurements. Each module has `measure(bench) -> figures` and `describe(figures) -> Section`."""
