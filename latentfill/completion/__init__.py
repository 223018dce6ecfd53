"""Step 3: find the latent whose image agrees with the known pixels. Tensors only."""
