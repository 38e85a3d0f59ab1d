"""Commands of `darts-assets` that work without a run history, each in a module of its name."""
