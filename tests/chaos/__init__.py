"""Random schedules of crashes, faults of the platform and actions of users."""
