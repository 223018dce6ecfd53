"""What the post's relatives add to the training: pieces, each with its source, used alone or together."""
