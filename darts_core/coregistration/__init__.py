"""A scene laid onto a reference by less than a pixel: how far it lies off, and the same scene in its right place.

The verb is `coregister.coregister`; `coregister.measure_shift` only looks. The parameters import nothing heavy.
"""
