"""How far to trust a completion."""
