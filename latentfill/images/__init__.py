"""Step 1 of the post: pictures and their parts. No networks."""
