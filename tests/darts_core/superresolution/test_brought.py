"""Models that others bring, as real files and as a real installed package."""

import pickle
import sys
import textwrap
import zipfile

import pytest
import torch
from torch import nn
from torch.export import Dim

from darts_core.manifests import file_digest
from darts_core.superresolution.brought import Exported, read_model
from darts_core.superresolution.facts import UpscalerError, facts_path, model_digest
from darts_core.superresolution.running import forward_on
from darts_core.superresolution.upscalers import load_upscaler

BANDS = ("green", "red", "nir")
SAID = 'bands = ["green", "red", "nir"]\n'


class Sharpen(nn.Module):
    """Twice as fine, reach 2; `gain` is an option of its forward, and a constant of its own lies on its device."""

    def __init__(self, bands_out: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3, padding=1, padding_mode="replicate")
        self.second = nn.Conv2d(6, 4 * bands_out, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
        fine = self.shuffle(self.second(torch.relu(self.first(x))))
        return fine * gain + torch.zeros(1, device=x.device)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same model in every form, without its facts."""
    folder, model, x = tmp_path_factory.mktemp("models"), Sharpen().eval(), torch.rand(2, 3, 32, 32)
    torch.jit.save(torch.jit.script(model), folder / "scripted.pt")
    torch.jit.save(torch.jit.trace(model, x), folder / "traced.pt")
    any_size = ({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},)
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=any_size), folder / "any.pt2")
    torch.export.save(torch.export.export(model, (x[:1],)), folder / "fixed.pt2")
    torch.export.save(torch.export.export(model, (x,)), folder / "pair.pt2")
    return folder


@pytest.fixture
def brought(files, tmp_path):
    """A copy of a file that facts can be laid beside."""

    def bring(name: str, facts: str = SAID):
        path = tmp_path / name
        path.write_bytes((files / name).read_bytes())
        facts_path(path).write_text(facts)
        return path

    return bring


@pytest.mark.parametrize("name", ["scripted.pt", "traced.pt", "any.pt2"])
def test_files_do_what_the_module_did(brought, name):
    path = brought(name)
    upscaler = load_upscaler(path)
    assert (upscaler.name, upscaler.bands_out, upscaler.factor, upscaler.reach) == (path.stem, BANDS, 2, 2)
    x = torch.rand(3, 3, 20, 25)
    with torch.no_grad():
        torch.testing.assert_close(forward_on(upscaler, "cpu")(x), Sharpen()(x), rtol=1e-5, atol=1e-6)


def test_convolutions_in_torchscript_run_with_channels_last(brought):
    upscaler = load_upscaler(brought("traced.pt"))
    assert upscaler.module.second.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_fixed_size_is_known_and_measured_with(brought):
    upscaler = load_upscaler(brought("fixed.pt2"))
    assert (upscaler.window, upscaler.factor, upscaler.reach) == (32, 2, 2)
    predict = forward_on(upscaler, "cpu")
    with pytest.raises(UpscalerError, match="windows of 32 x 32 pixels only, received 20 x 32; choose window = 32"):
        predict(torch.rand(1, 3, 20, 32))
    # exported for one window at once, given three
    x = torch.rand(3, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(predict(x), Sharpen()(x), rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_is_refused(brought):
    with pytest.raises(UpscalerError, match=r"shape \[2, 3, 32, 32\].*Export it again with dynamic_shapes"):
        load_upscaler(brought("pair.pt2"))


def test_an_exported_program_moves_with_the_constants_of_its_graph(files):
    module, _ = read_model(files / "any.pt2")
    assert isinstance(module, Exported)
    elsewhere = module.on(torch.device("meta"))(torch.rand(1, 3, 9, 9, device="meta"))
    assert (elsewhere.device.type, elsewhere.shape) == ("meta", (1, 3, 18, 18))


def test_facts_come_from_the_file_beside_and_overrides_count_first(brought):
    path = brought("scripted.pt", SAID + 'name = "sharp"\nreach = 7\nresolution = 10\n[options]\ngain = 2.0\n')
    upscaler = load_upscaler(path, reach=5, batch=2)
    assert (upscaler.name, upscaler.reach, upscaler.resolution, upscaler.batch) == ("sharp", 5, 10.0, 2)
    x = torch.rand(1, 3, 12, 12)
    with torch.no_grad():
        torch.testing.assert_close(forward_on(upscaler, "cpu")(x), Sharpen()(x, 2.0), rtol=1e-5, atol=1e-6)


def test_the_digest_is_of_file_and_facts(brought):
    path = brought("scripted.pt")
    with_facts = load_upscaler(path).digest
    facts_path(path).write_text(SAID + "reach = 3\n")
    assert load_upscaler(path).digest == model_digest(path) != with_facts
    facts_path(path).unlink()
    assert model_digest(path) == file_digest(path)
    assert load_upscaler(path, bands=BANDS).digest == file_digest(path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ("", r"does not say which bands it takes. Write .*scripted.pt.toml beside it"),
        ("bands = [", "scripted.pt.toml is not TOML"),
        (SAID + "digest = 'x'\n", "scripted.pt.toml says digest; expected of bands, bands_out, batch"),
        (SAID + "factor = 'two'\n", "What is said of scripted does not fit: factor: Input should be a valid integer"),
        ('bands = ["red", "nir"]\n', r"scripted failed on windows of the shape \(1, 2, 16, 16\)"),
        ('bands = ["red", "nir", "ndvi"]\n', "product 'super_resolved', each once; it has no ndvi"),
    ],
)
def test_facts_that_do_not_fit_are_refused(brought, facts, message):
    with pytest.raises(UpscalerError, match=message):
        load_upscaler(brought("scripted.pt", facts))


def test_a_factor_that_is_not_true_is_found_with_the_first_window(brought):
    upscaler = load_upscaler(brought("scripted.pt", SAID + "factor = 4\nreach = 2\n"))
    with pytest.raises(UpscalerError, match=r"factor 4 .*should make \(1, 3, 32, 32\).*shape \(1, 3, 16, 16\)"):
        forward_on(upscaler, "cpu")(torch.rand(1, 3, 8, 8))


def _rewritten(path, change):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


class _Bomb:
    def __reduce__(self):
        return print, ("a pickle was run",)


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("data/sample_inputs/model.pt", pickle.dumps(_Bomb(), 2)),
        ("data/weights/model.pt", pickle.dumps(_Bomb(), 2)),
        ("data/aotinductor/model/model.so", b"machine code"),
        (
            "data/constants/model_constants_config.json",
            b'{"config": {"k": {"path_name": "opaque_obj_0", "is_param": false, "use_pickle": false}}}',
        ),
        (
            "data/weights/model_weights_config.json",
            b'{"config": {"k": {"path_name": "weight_0", "is_param": true, "use_pickle": true}}}',
        ),
    ],
    ids=["sample inputs", "old weights", "machine code", "opaque constant", "pickled weight"],
)
def test_an_export_with_code_in_it_is_refused_before_any_runs(brought, capfd, part, content):
    path = brought("any.pt2")
    _rewritten(path, lambda parts: parts.update({f"any/{part}": content}))
    with pytest.raises(UpscalerError, match="would run code when they are read"):
        load_upscaler(path)
    assert "a pickle was run" not in capfd.readouterr().out


@pytest.mark.parametrize("name", ["scripted.pt", "any.pt2"])
def test_damaged_files_are_refused(brought, name):
    path = brought(name)
    _rewritten(path, lambda parts: [parts.pop(one) for one in [*parts] if one.endswith(("data.pkl", "model.json"))])
    with pytest.raises(UpscalerError, match=f"{path.name} cannot be loaded as"):
        load_upscaler(path)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package as an installer leaves it."""
    (tmp_path / "finer.py").write_text(
        textwrap.dedent(
            """
            import torch
            from darts_core.superresolution import upscaler_of

            class Double(torch.nn.Module):
                def forward(self, x):
                    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

            def whole():
                return upscaler_of(Double(), bands=("red", "nir"), name="double")

            def number():
                return 2

            def broken():
                raise OSError("no weights here")
            """
        )
    )
    info = tmp_path / "finer-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: finer\nVersion: 1.0\n")
    names = {"whole": "whole", "module": "Double", "number": "number", "broken": "broken", "absent": "absent"}
    lines = "".join(f"finer-{name} = finer:{target}\n" for name, target in names.items())
    (info / "entry_points.txt").write_text(f"[darts_assets.upscalers]\n{lines}")
    monkeypatch.syspath_prepend(tmp_path)
    yield info
    sys.modules.pop("finer", None)


@pytest.mark.usefixtures("package")
def test_entry_points_of_installed_packages_give_upscalers_and_modules():
    whole = load_upscaler("finer-whole", batch=2)
    assert (whole.name, whole.bands, whole.factor, whole.reach, whole.batch) == ("double", ("red", "nir"), 2, 0, 2)
    module = load_upscaler("finer-module", bands=BANDS)
    assert (module.name, module.bands_out, module.factor, module.reach) == ("finer-module", BANDS, 2, 0)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("finer-module", "finer-module does not say which bands it takes"),
        ("finer-number", "finer-number returned int; expected a torch.nn.Module"),
        ("finer-broken", "finer-broken = finer:broken of darts_assets.upscalers failed: OSError: no weights here"),
        ("finer-absent", "failed: AttributeError"),
        ("finer", "one of the upscalers nearest, bilinear, bicubic, finer-absent, finer-broken"),
    ],
)
def test_entry_points_that_cannot_be_used_are_refused(name, message):
    with pytest.raises(UpscalerError, match=message):
        load_upscaler(name)


def test_a_name_that_two_packages_use_is_refused(package):
    second = package.with_name("rival-1.0.dist-info")
    second.mkdir()
    (second / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (second / "entry_points.txt").write_text("[darts_assets.upscalers]\nfiner-whole = rival:other\n")
    with pytest.raises(UpscalerError, match="Several packages offer an upscaler finer-whole"):
        load_upscaler("finer-whole")
