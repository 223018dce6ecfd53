"""How good a completion is."""
