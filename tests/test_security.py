"""What no line of ours may do, by reading all of them: run code from data, start a shell, or write half an object."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = sorted(
    file for name in ("darts_assets", "darts_core", "io_managers", "resources") for file in (ROOT / name).rglob("*.py")
)
ALLOWED = {
    # between a process and its children, on a socket that has no name
    "darts_core/dataflow/worker.py": {"pickle"},
    "darts_core/dataflow/processes.py": {"pickle"},
    # formulas of an installed package, of which only arithmetic is compiled
    "darts_core/preprocessing/indices.py": {"eval"},
}


def faults(source: str) -> Iterator[str]:
    """What a module does that it may not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                if name.startswith(("pickle", "marshal", "shelve", "dill", "cloudpickle")):
                    yield "pickle"
                if name.startswith("lxml"):
                    yield "xml"
        if isinstance(node, ast.Call):
            yield from call_faults(node)


def call_faults(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in ("eval", "exec", "os.system", "os.popen", "tempfile.mktemp"):
        yield name
    shell = given.get("shell")
    if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
        yield "shell"
    if name in ("subprocess.run", "subprocess.Popen", "subprocess.check_output", "subprocess.check_call"):
        first = call.args[0] if call.args else given.get("args")
        if isinstance(first, (ast.Constant, ast.JoinedStr)):
            yield "a command as one text"
    if name.endswith("torch.load") and ast.unparse(given.get("weights_only", ast.Constant(None))) != "True":
        yield "torch.load"
    if name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load"):
        yield name
    if (
        name.endswith(("np.load", "numpy.load"))
        and ast.unparse(given.get("allow_pickle", ast.Constant(False))) != "False"
    ):
        yield "np.load"
    if name.endswith(("ElementTree.parse", "minidom.parse", "sax.parse")) and "xml" in name:
        yield "xml"
    if name.endswith((".extractall", ".extract")):
        yield "extract"
    if name.endswith("fs.open") and any(
        isinstance(part, ast.Constant) and "w" in str(part.value) for part in call.args[1:]
    ):
        yield "an object store's file opened for writing"


@pytest.mark.parametrize("file", OURS, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_module_of_ours_does_it(file: Path) -> None:
    assert set(faults(file.read_text())) == ALLOWED.get(str(file.relative_to(ROOT)), set())


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from lxml import etree",
        "eval(text)",
        "subprocess.run('ls ' + name, shell=True)",
        "subprocess.run(f'ls {name}')",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "yaml.load(text)",
        "np.load(path, allow_pickle=True)",
        "archive.extractall(folder)",
        "with store.fs.open(path, 'wb') as file: ...",
    ],
)
def test_each_of_them_would_be_found(line: str) -> None:
    assert list(faults(line))
