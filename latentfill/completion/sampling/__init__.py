"""Draw latents from a density instead of looking for the best: the original HMC, and one done right."""
