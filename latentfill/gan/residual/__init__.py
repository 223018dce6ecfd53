"""The modern networks: residual blocks without any normalisation, for G, D and the encoder alike."""
