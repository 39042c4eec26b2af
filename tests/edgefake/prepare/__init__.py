"""Preparing data sets."""
