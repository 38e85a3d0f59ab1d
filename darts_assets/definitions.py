"""The one place that puts assets, automation, resources and IO managers together."""

import dagster as dg

from darts_assets.automation.jobs import JOBS
from darts_assets.automation.schedules import SCHEDULES
from darts_assets.automation.sensors import SENSORS
from darts_assets.graph import ASSETS
from io_managers.base import StoreResource
from io_managers.cog import CogIOManager
from io_managers.files import FileIOManager
from io_managers.geoparquet import GeoParquetIOManager
from io_managers.shards import ShardsIOManager
from io_managers.zarr import ZarrIOManager
from resources.accelerator import Accelerator
from resources.auxiliary import AuxiliaryData
from resources.models import ModelStore
from resources.scenes import SceneSource, WatchedPlace
from resources.settings import Settings
from resources.upkeep import Upkeep
from resources.webhook import Webhook

settings = Settings.load()
store = StoreResource(root=settings.products, endpoint_url=settings.s3_endpoint)

defs = dg.Definitions(
    assets=ASSETS,
    jobs=JOBS,
    schedules=SCHEDULES,
    sensors=SENSORS,
    # also because the steps of a run tell each other which of its scenes failed
    executor=dg.in_process_executor,
    resources={
        "store": store,
        "scenes": SceneSource(url=settings.scenes, endpoint_url=settings.s3_endpoint),
        "watched": WatchedPlace.of(settings),
        "webhook": Webhook(ui_url=settings.ui_url),
        "upkeep": Upkeep.of(settings),
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
