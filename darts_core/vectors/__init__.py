"""From masks to features: the polygons of a scene, and the release of a season."""
