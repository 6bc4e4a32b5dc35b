"""Chapter 6: what a task does from its start to its end, with the steps of the other chapters."""
