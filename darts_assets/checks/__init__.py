"""Checks that keep wrong data from flowing on."""
