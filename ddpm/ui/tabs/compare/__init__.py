"""Compare: settings side by side, their quality, and the schedules."""
