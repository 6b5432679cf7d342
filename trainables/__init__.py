"""One trial: the models, their data, the training step and the checkpoint. Knows Ray's Trainable and nothing above it."""
