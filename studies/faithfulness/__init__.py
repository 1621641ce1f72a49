"""Which explanation is faithful, measured where the truth is known."""
