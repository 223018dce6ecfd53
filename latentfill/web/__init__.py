"""The page to paint on, and the HTTP API: everything of it comes from this process, nothing from elsewhere."""
