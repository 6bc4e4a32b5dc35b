"""Third chapter: until every batch has ended."""
