"""The science of darts-assets: pure steps on arrays, usable from a notebook or a script, without Dagster."""
