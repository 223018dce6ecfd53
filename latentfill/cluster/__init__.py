"""The same jobs on Ray: `complete`, `align` and `evaluate` on the cores and machines of a cluster."""
