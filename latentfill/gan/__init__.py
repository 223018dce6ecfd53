"""Step 2 of the post, used: the networks, the prior and the file they are kept in."""
