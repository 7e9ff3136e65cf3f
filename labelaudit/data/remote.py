"""Read data from s3://, gs://, hf:// and what else fsspec reaches: once into the cache, from which they are audited.

A copy keeps its files' sizes and versions in a list beside it, so that the next audit fetches only what has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from labelaudit.data.catalogue import each_in_parallel
from labelaudit.data.labels_file import leads_out
from labelaudit.errors import DataError, StorageError, UsageError, brief
from labelaudit.progress import Reporter
from labelaudit.run.caches import cache_root
from labelaudit.run.files import held, storage_errors, write_atomically, write_json
from labelaudit.text import address_of

_VERSION = ("ETag", "etag", "blob_id", "md5Hash", "generation", "last_modified", "LastModified", "mtime", "created")
"""Entries by which file systems tell one content of a file from another, the surest first."""


def local(place: Path, reporter: Reporter, *, offline: bool = False) -> Path:
    """Return where data can be read: a path of this machine as it is, an address as its copy, brought up to date.

    Unreachable data, and names that lead out of the copy, are a DataError, a missing package a UsageError.
    """
    if (address := address_of(place)) is None:
        return place
    folder = cache_root() / "remote" / hashlib.sha256(address.encode()).hexdigest()[:16]
    copy, listing = folder / (address.rstrip("/").rpartition("/")[2] or "root"), folder / "files.json"
    if offline:
        if not listing.exists():
            raise UsageError(f"--offline forbids reading {address}", fix="audit it once without --offline")
        return copy
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with held(folder / "lock", copy, wait=lambda: reporter.say(f"Waiting for another process that reads {address}")):
        system, paths, info_of = _found(address)
        version_of = {
            name: f"{info['size']} {next((info[key] for key in _VERSION if info.get(key)), '')}"
            for name, info in info_of.items()
        }
        known: dict[str, str] = {}
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            known = msgspec.json.decode(listing.read_bytes(), type=dict[str, str])
        for name in known.keys() - version_of.keys():
            (copy / name).unlink(missing_ok=True)
        known = {name: version for name, version in known.items() if version_of.get(name) == version}
        new = [name for name in info_of if name not in known]
        if (size := sum(info_of[name]["size"] or 0 for name in new)) > shutil.disk_usage(folder).free:
            what = f"{address} needs {size >> 20:,} MiB in {folder}, more than there is"
            raise StorageError(what, fix="free some space, or name another folder with LABELAUDIT_CACHE")

        def fetch(name: str) -> None:
            with storage_errors(copy / name):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(copy / name, lambda partial: _ask(address, system.get_file, paths[name], str(partial)))
            known[name] = version_of[name]

        try:
            for _ in each_in_parallel(new, fetch, reporter.bar(f"Reading {address}", len(new), "files")):
                pass
        finally:  # what is here is not fetched again
            write_json(listing, known)
    reporter.say(f"{address}: {len(new):,} of {len(info_of):,} files were fetched, to {copy}")
    return copy


def is_copy(root: Path) -> bool:
    """Return whether a folder is in a copy: changes in it would not reach the data."""
    with contextlib.suppress(StorageError):
        return (cache_root() / "remote").resolve() in root.resolve().parents
    return False


def _found(address: str) -> tuple[Any, dict[str, str], dict[str, dict[str, Any]]]:
    """Return the file system of an address, and the path and what is known of each file, by its name below it."""
    import fsspec

    try:
        system, root = fsspec.core.url_to_fs(address)
    except ImportError as error:
        what = f"{address} needs a package that is not installed ({brief(error)})"
        raise UsageError(what, fix="pip install 'labelaudit[remote]'") from error
    except ValueError as error:
        raise UsageError(f"{address} is no address ({brief(error)})", fix="give one as s3://bucket/photos") from error
    system.invalidate_cache()
    files = {path: info for path, info in _ask(address, system.find, root, detail=True).items() if path[-1] != "/"}
    if not files:
        raise DataError(f"there are no files in {address}", fix="check the address")
    paths = {path.removeprefix(root.rstrip("/")).lstrip("/"): path for path in sorted(files)}
    if bad := [name for name in paths if leads_out(name)]:
        raise DataError(f"{address}: {bad[0]!r} leads out of it", fix="give files plain names")
    return system, paths, {name: files[path] for name, path in paths.items()}


def _ask(address: str, ask: Callable[..., Any], *arguments: str, **options: bool) -> Any:
    """Return what a file system answers; any of its errors is a DataError."""
    try:
        return ask(*arguments, **options)
    except Exception as error:  # each file system has errors of its own
        fix = "check the address, and that you may read it"
        raise DataError(f"cannot read {address} ({brief(error)})", fix=fix) from error
