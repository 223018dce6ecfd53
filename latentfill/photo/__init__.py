"""Cut a photo's crops for the model, and put the model's results back into the photo."""
