"""Bytes and places: lines, the ids in them, and where files lie."""
