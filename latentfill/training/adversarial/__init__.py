"""The rules of the game between G and D."""
