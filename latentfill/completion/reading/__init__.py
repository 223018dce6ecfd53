"""What is read of an image: exact numbers, noisy ones, levels, and the frequencies of a JPEG."""
