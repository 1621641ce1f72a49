"""Which words made the sentiment, and what happens when they are deleted, on real sentences."""
