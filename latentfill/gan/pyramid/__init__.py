"""The Laplacian pyramid of Denton et al. (2015): a small image, then what each doubling of its size adds."""
