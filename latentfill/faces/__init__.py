"""Find faces and their landmarks in photos, and the squares in which models see them."""
