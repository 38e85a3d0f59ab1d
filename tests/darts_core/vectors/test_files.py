"""Vector products as files."""

from pathlib import Path

import geopandas as gpd
import pytest
from shapely import box

from darts_core.vectors.files import write_geoparquet


def test_a_file_is_replaced_when_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = gpd.GeoDataFrame({"id": ["a"]}, geometry=[box(0, 0, 1, 1)], crs="EPSG:32608")
    path = tmp_path / "slumps.parquet"
    write_geoparquet(frame, path)

    def half(self: gpd.GeoDataFrame, target: Path, **options: object) -> None:
        target.write_bytes(b"PAR1")
        raise OSError("No space left on device")

    monkeypatch.setattr(gpd.GeoDataFrame, "to_parquet", half)
    with pytest.raises(OSError, match="No space left"):
        write_geoparquet(frame, path)
    assert list(gpd.read_parquet(path)["id"]) == ["a"]
    assert [one.name for one in tmp_path.iterdir()] == ["slumps.parquet"]
