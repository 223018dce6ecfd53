"""What every verb shares: how its options come together, and how it shows its progress."""
