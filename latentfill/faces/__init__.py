"""Find faces and their landmarks in photos, and the squares that models know them in."""
