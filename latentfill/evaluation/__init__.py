"""The benchmark: metrics, feature spaces, baselines, report."""
