"""What outlives a process: each shape is declared once, with a version, and a stored sample in the tests."""
