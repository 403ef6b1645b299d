"""What every test shares: how `hypothesis` runs."""

from hypothesis import settings

# A slow machine is no failure; the failing example is printed so that it can become a test.
settings.register_profile("liveroom", deadline=None, print_blob=True)
settings.load_profile("liveroom")
