"""Ways through the latent space."""
