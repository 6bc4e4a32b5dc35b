"""Calls to the platform: how patiently, the list of batches, cancels."""
