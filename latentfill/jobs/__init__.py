"""What verbs do with many files: in parallel, resumable, each failure named."""
