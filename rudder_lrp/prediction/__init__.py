"""From features through an LSTM to the return, and how far to trust it."""
