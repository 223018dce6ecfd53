"""Holes as people make them: written in words, painted in pictures, erased from photos; and widened."""
