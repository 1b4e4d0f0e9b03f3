"""Parts of the training loops: run folder, checkpoints, order of samples, steps, logging."""
