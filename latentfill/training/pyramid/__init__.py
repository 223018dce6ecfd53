"""The training of a Laplacian pyramid: every level a game of its own, all on the same pictures."""
