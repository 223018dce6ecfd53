"""Who owns the device: a queue, searches side by side, and what each of them answers."""
