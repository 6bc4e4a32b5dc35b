"""Answers that are kept across runs, so that a request that was answered once is not paid again."""
