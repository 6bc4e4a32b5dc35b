"""Property tests: enough examples to matter, few enough to stay fast; no deadline, since imports may be lazy."""

from hypothesis import settings

settings.register_profile("unit", max_examples=150, deadline=None)
settings.load_profile("unit")
