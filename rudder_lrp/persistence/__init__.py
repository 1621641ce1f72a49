"""A journal and checkpoints on disk: all or nothing."""
