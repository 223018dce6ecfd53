"""Photos that are themselves observations: grey, small, noisy; looked at, and restored with what a model drew."""
