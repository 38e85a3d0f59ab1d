"""Small versions in a store, for tests of the store."""

from darts_core.store import Draft, Store, Version


def fill(draft: Draft, **contents: str) -> None:
    """Stage files by name; ``__`` in a name stands for ``/``."""
    for name, text in contents.items():
        file = draft.folder / name.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def make(store: Store, version: str, **contents: str) -> Version:
    """Commit a version of `asset` of `partition` with these files."""
    with store.draft("asset", "partition", version) as draft:
        fill(draft, **contents)
        return draft.commit()


def content(version: Version, name: str) -> str:
    """What a file of a version holds."""
    return version.store.fs.cat_file(version.path(name)).decode()
