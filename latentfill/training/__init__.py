"""Step 2 of the post, learnt: from a folder of pictures to a GAN."""
