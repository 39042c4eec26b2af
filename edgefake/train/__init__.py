"""Training: settings, the loop on Accelerate, its loss, its saved states."""
