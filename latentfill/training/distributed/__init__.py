"""One training in several processes, and the pictures that they all read."""
