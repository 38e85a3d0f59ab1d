"""The windowed engine: plan, read, predict, shards, mosaic."""
