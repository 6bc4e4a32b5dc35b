"""Budgets: an amount that tasks and runs share, claimed before something is sent and settled after."""
