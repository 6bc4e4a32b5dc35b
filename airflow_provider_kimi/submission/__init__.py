"""Second chapter: what exists already is found, and only what does not is uploaded and created."""
