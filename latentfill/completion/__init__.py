"""Step 3: find the latent whose image agrees with what is known. Tensors only."""
