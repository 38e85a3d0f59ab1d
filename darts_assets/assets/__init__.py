"""One module a product, named after it."""
