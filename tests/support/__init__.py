"""What several test folders share and a test module cannot import from another."""
