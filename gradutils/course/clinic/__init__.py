"""The emergency room."""
