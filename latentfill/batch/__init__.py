"""Many pictures at a time: inputs, outputs, resuming, a pool of workers."""
