"""What a sensor has looked at, so that it need not look again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from darts_core.store import Store, StoreError
from resources.scenes import REGISTER

_VERSION = 1
_INDEX = "index.json"


@dataclass
class Index:
    """Entries that were looked at, in this order, each with its mark and its signature; a cache of the register."""

    store: Store
    url: str
    entries: dict[str, tuple[str, str]]
    changed: bool = False

    @classmethod
    def read(cls, store: Store, url: str) -> Index:
        """The index of a place; an empty one where it was lost, or is of another place or version.

        Raises:
            StoreError: the store does not answer.
        """
        try:
            content = json.loads(store.fs.cat_file(store.path(REGISTER, _INDEX)))
            fits = content["version"] == _VERSION and content["url"] == url
            entries = {name: (mark, signature) for name, mark, signature in content["entries"]} if fits else {}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            entries = {}
        except Exception as error:
            # every object store has errors of its own
            raise StoreError(
                f"{store.root} cannot be reached ({type(error).__name__}: {error}). Check the endpoint and credentials"
            ) from error
        return cls(store, url, entries)

    def note(self, entry: str, mark: str, signature: str) -> None:
        """An entry is as it should be."""
        if self.entries.get(entry) != (mark, signature):
            self.entries.pop(entry, None)
            self.entries[entry] = mark, signature
            self.changed = True

    def write(self) -> None:
        """Keep it for the next tick, where anything is new."""
        if self.changed:
            rows = [[name, *marks] for name, marks in self.entries.items()]
            content = {"version": _VERSION, "url": self.url, "entries": rows}
            self.store.write_bytes(self.store.path(REGISTER, _INDEX), json.dumps(content).encode())
