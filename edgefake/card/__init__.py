"""A shipped model's card: what was measured of its files, and the words that no measurement knows."""
