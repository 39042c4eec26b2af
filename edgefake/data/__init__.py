"""Labelled pictures: what lists them, how faces were cut, and what a network sees of them."""
