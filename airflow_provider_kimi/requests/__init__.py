"""First chapter: from an input to checked request files."""
