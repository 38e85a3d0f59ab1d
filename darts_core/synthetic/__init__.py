"""A synthetic world in the real formats: scenes, DEM, trends and truth that agree with each other.

`world.make_world` writes everything the demo needs; `landscape.make_landscape` and the writers of `sentinel2`,
`planet`, `auxiliary` and `truth` make single pieces of it, for tests. All of it is a pure function of a seed.
"""
