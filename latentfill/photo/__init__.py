"""A crop of a photo for the model, and what the model made of it back into the photo."""
