"""Looking after a training: what is wrong, how good the model is, what a training would take."""
