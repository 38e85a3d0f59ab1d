"""The science of darts-assets: pure steps on arrays, usable from a notebook or a script, without Dagster."""

import os

from darts_core.memory import share_heap

# Waiting threads of OpenMP spin by default, and where another process has the core that is a step five times slower.
# It counts only if it is set before torch is loaded, hence here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# GDAL would keep decoded blocks up to 5 % of the memory; what is read again is kept where it is known to be
os.environ.setdefault("GDAL_CACHEMAX", "64")

share_heap()
