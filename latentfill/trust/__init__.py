"""How far to trust a completion: what can be told of its error without the original, and how likely that is right."""
