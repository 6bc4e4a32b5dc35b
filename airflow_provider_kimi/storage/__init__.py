"""Rows in and result files out, as streams."""
