"""Explanations of recurrent models on signals: a benchmark that others made, and recorded speech."""
