"""Training: patches with truth, and the models made from them."""
