"""Datasets as Zarr v3: `raw_scene`, `preprocessed`, `training_patches`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from darts_core.store import Draft, Version
from io_managers.base import ProductIOManager

if TYPE_CHECKING:
    import xarray as xr

ITEM = "item.json"


class ZarrIOManager(ProductIOManager):
    """Stores an `xr.Dataset` (axes y, x) in the disk codec of its contract; without a contract, as it is."""

    def write(self, draft: Draft, value: xr.Dataset, contract: str | None) -> None:
        """Write the dataset, and beside it the STAC Item that describes it, where there is one."""
        from darts_core.contracts import encode
        from darts_core.datasets import GROUP, write_zarr

        write_zarr(encode(value, contract) if contract else value, draft.folder / GROUP)
        if "stac_item" in value.attrs:
            (draft.folder / ITEM).write_text(json.dumps(value.attrs["stac_item"], indent=1, sort_keys=True))
        value.close()

    def read(self, version: Version, contract: str | None) -> xr.Dataset:
        """The dataset, dask-backed, in the memory codec of its contract."""
        from darts_core.datasets import open_product

        return open_product(version, contract)
