"""What G learns from an encoder that describes pictures to it."""
