"""Every figure of the post, redrawn from code."""
