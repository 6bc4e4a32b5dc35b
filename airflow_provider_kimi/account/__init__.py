"""Housekeeping: batches and files of the account that no run takes care of."""
