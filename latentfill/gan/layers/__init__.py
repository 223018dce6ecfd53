"""Layers of the post's relatives."""
