"""The rules of the game between G and D, and what the post's relatives add to them."""
