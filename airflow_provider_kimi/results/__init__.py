"""Fourth chapter: from result files to one row for each request, and a manifest."""
