"""The run of a training: its folder, data, loop, checkpoints, health checks and validation."""
