"""From a raw scene to what models see: reflectance, indices, terrain features and masks.

The verb is `darts_core.preprocessing.preprocess.preprocess`; its parameters import nothing heavy.
"""
