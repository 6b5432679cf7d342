"""One trial: models, data, training steps, checkpoints. Knows Ray's Trainable, nothing above it."""
