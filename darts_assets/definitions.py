"""The one place that puts assets, checks, automation, resources and IO managers together."""

import dagster as dg

from darts_assets import assets, checks
from darts_assets.automation.jobs import JOBS
from darts_assets.automation.schedules import SCHEDULES
from darts_assets.automation.sensors import SENSORS
from io_managers.base import StoreResource
from io_managers.cog import CogIOManager
from io_managers.files import FileIOManager
from io_managers.geoparquet import GeoParquetIOManager
from io_managers.shards import ShardsIOManager
from io_managers.zarr import ZarrIOManager
from resources.accelerator import Accelerator
from resources.auxiliary import AuxiliaryData
from resources.models import ModelStore
from resources.scenes import SceneSource
from resources.settings import Settings

settings = Settings.load()
store = StoreResource(root=settings.products, endpoint_url=settings.s3_endpoint)

defs = dg.Definitions(
    assets=dg.load_assets_from_package_module(assets),
    asset_checks=dg.load_asset_checks_from_package_module(checks),
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    executor=dg.in_process_executor,
    resources={
        "store": store,
        "scenes": SceneSource(url=settings.scenes, endpoint_url=settings.s3_endpoint),
        "auxiliary": AuxiliaryData.of(settings),
        "models": ModelStore(checkpoints=settings.checkpoints, upscaler=settings.upscaler),
        "accelerator": Accelerator.of(settings),
        "zarr": ZarrIOManager(store=store),
        "cog": CogIOManager(store=store),
        "shards": ShardsIOManager(store=store),
        "geoparquet": GeoParquetIOManager(store=store),
        "file": FileIOManager(store=store),
    },
)
