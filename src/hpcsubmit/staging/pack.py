"""Packs data: the archives that are missing, side by side, and at last the manifest that names them all."""

import gc
import json
import os
import select
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host, cannot_write, write_atomically
from hpcsubmit.running import Filter, Workers
from hpcsubmit.staging.archive import write_archive
from hpcsubmit.staging.lean_sink import LeanSink
from hpcsubmit.staging.paths import changes
from hpcsubmit.staging.progress import Progress
from hpcsubmit.staging.sample import TOOLS, Transfer, choose_suffix, failed
from hpcsubmit.staging.sets import Description, write_description
from hpcsubmit.staging.shards import Shard
from hpcsubmit.staging.sink import Sink
from hpcsubmit.staging.snapshot import Snapshot, is_there, known_sizes, look_at
from hpcsubmit.staging.store import DESCRIPTION, Archive, Manifest, Store, read_manifest
from hpcsubmit.staging.suffixes import LEAN, PLAIN, suffix_of, tool_of

_PER_CORE = 2  # one reads while another waits for its file
_MOST_WORKERS = 8  # a login node is shared
_NUMBER = 4  # bytes of a number in the queue


def pack(snapshot: Snapshot, *, host: Host, transfer: Transfer, progress: Progress) -> None:
    """See that what look() saw is packed: afterwards snapshot.manifest and all its archives are there.

    Where other data are in their place by now, in whole or in part, and where anything goes wrong, raises
    HpcSubmitError; nothing that was left is ever used. Two at once on one machine: the second waits.
    """
    store = Store.of(snapshot.scratch_dir)
    if _is_whole(store, snapshot.manifest):
        return
    store.make()
    with store.locked(progress.waits):
        if not _is_whole(store, snapshot.manifest):
            _pack_set(_with_shards(snapshot), store, host, transfer, progress)


def _is_whole(store: Store, path: Path) -> bool:
    manifest = read_manifest(path)
    return manifest is not None and store.is_whole(manifest)


def _with_shards(snapshot: Snapshot) -> Snapshot:
    """What packing needs to know; a set that was there may have been cleaned away since."""
    if not snapshot.fresh:
        return snapshot
    compress = snapshot.mode.partition(":")[0]
    again = look_at(snapshot.paths, snapshot.scratch_dir, compress=compress, compressors=snapshot.compressors)
    if again.manifest != snapshot.manifest:
        raise changes(", ".join(str(snapshot.scratch_dir / path) for path in snapshot.paths))
    return again


def _pack_set(snapshot: Snapshot, store: Store, host: Host, transfer: Transfer, progress: Progress) -> None:
    shards = snapshot.shards
    suffix = snapshot.suffix or choose_suffix(
        snapshot.mode.partition(":")[0],
        snapshot.compressors,
        transfer,
        shards,
        snapshot.scratch_dir,
        host,
    )
    sizes = known_sizes(store)
    missing = [shard for shard in shards if not is_there(store, shard, suffix, sizes)]
    if missing:
        _Packing(snapshot.scratch_dir, store, suffix, host).pack_all(missing, progress)
    names = [shard.key + suffix_of(shard, suffix) for shard in shards]
    archives = tuple(
        Archive(name, store.size(name), shard.members) for name, shard in zip(names, shards, strict=True)
    )
    if any(archive.size < 0 for archive in archives):
        raise HpcSubmitError(
            f"archives vanish from {store.archives} while data are packed",
            "let no other program remove files there, then submit again",
        )
    write_description(snapshot.manifest.with_suffix(DESCRIPTION), _description(snapshot, suffix))
    manifest = Manifest(snapshot.room_kib, snapshot.inodes, archives)
    write_atomically(snapshot.manifest, manifest.text())


def _description(snapshot: Snapshot, suffix: str) -> Description:
    return Description(
        snapshot.paths,
        snapshot.mode,
        suffix,
        snapshot.files,
        snapshot.bytes,
        datetime.now(UTC),
        os.uname().nodename,
        snapshot.warnings,
    )


class _Packing(NamedTuple):
    """Writes archives to a store, each by a copy of this process."""

    scratch_dir: Path
    store: Store
    suffix: str
    host: Host

    def pack_all(self, shards: Sequence[Shard], progress: Progress) -> None:
        """Write archives, the largest first. Raises HpcSubmitError."""
        queue = _queue(sorted(range(len(shards)), key=lambda at: shards[at].size, reverse=True))
        workers = Workers()
        try:
            with workers:
                count = min(_PER_CORE * Workers.cores(), _MOST_WORKERS, len(shards))
                workers.start(count, lambda report: self._work(shards, queue, report))
                self._wait(workers, sum(shard.size for shard in shards), progress)
        except BaseException:
            self._remove_unfinished(workers.pids)
            raise
        finally:
            os.close(queue)

    def _wait(self, workers: Workers, total: int, progress: Progress) -> None:
        """Tell how far the workers are until they have ended. Raises HpcSubmitError where one fails."""
        done = 0
        progress.advanced(0, total)
        for line in workers.lines():
            done += _read_report(line)
            progress.advanced(done, total)
        if any(workers.codes()):
            raise HpcSubmitError(
                "a process that packs data was killed",
                "the machine may be short of memory: see what 'free -m' says, then submit again",
            )

    def _work(self, shards: Sequence[Shard], queue: int, report: int) -> None:
        """Be a worker: write one archive of the queue after another, and tell of bytes and errors."""

        def tell(count: int) -> None:
            os.write(report, json.dumps(count).encode() + b"\n")

        gc.disable()  # it would look through the whole scan again and again
        try:
            while number := os.read(queue, _NUMBER):
                self._pack(shards[int.from_bytes(number)], tell)
        except HpcSubmitError as error:
            _tell_error(report, error.message, error.hint)
        except BrokenPipeError:
            raise  # the parent was killed
        except Exception:  # noqa: BLE001  # the parent raises it
            _tell_error(report, "", traceback.format_exc())

    def _pack(self, shard: Shard, tell: Callable[[int], None]) -> None:
        """Write an archive under another name, and give it its own once it is whole."""
        suffix = suffix_of(shard, self.suffix)
        final = self.store.archives / (shard.key + suffix)
        unfinished = self.store.unfinished / f"{shard.key}.{_worker(os.getpid())}"
        try:
            out = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                self._write(shard, suffix, out, tell)
                if suffix == PLAIN:
                    _check_size(shard, final, os.fstat(out).st_size)
            finally:
                os.close(out)  # sends it to the server of a network file system
            unfinished.replace(final)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise cannot_write(final, error) from error
        finally:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def _write(self, shard: Shard, suffix: str, out: int, tell: Callable[[int], None]) -> None:
        tool = tool_of(suffix)
        if tool is None:
            sink = LeanSink(out, tell) if suffix == LEAN else Sink(out, tell)
            write_archive(shard, self.scratch_dir, sink)
            return
        source, entrance = os.pipe()
        try:
            compressor = Filter.start(TOOLS[tool], self.host.environ, source, out)
        finally:
            os.close(source)
        try:
            write_archive(shard, self.scratch_dir, Sink(entrance, tell))
        finally:
            os.close(entrance)
            code = compressor.wait()
            if code != 0:  # what else went wrong came of it
                raise failed(tool, code)

    def _remove_unfinished(self, pids: Sequence[int]) -> None:
        endings = tuple(f".{_worker(pid)}" for pid in pids)
        with suppress(OSError):
            for path in list(self.store.unfinished.iterdir()):
                if path.name.endswith(endings):
                    path.unlink(missing_ok=True)


def _check_size(shard: Shard, final: Path, size: int) -> None:
    if size != shard.size:
        raise HpcSubmitError(
            f"{final} got {size} bytes instead of {shard.size}",
            "does something else write there? submit again",
        )


def _worker(pid: int) -> str:
    """What the unfinished files of a worker are told apart by, on all machines."""
    return f"{os.uname().nodename}.{pid}"


def _queue(numbers: Sequence[int]) -> int:
    """A pipe that holds numbers: whoever reads next gets the next one, and nothing at the end."""
    source, entrance = os.pipe()
    os.write(entrance, b"".join(number.to_bytes(_NUMBER) for number in numbers))
    os.close(entrance)
    return source


def _tell_error(report: int, message: str, hint: str) -> None:
    """Tell of an error in one line that reaches the parent whole: a character takes 6 bytes at most."""
    most = select.PIPE_BUF // 6 - 2
    message = message[: most - len(hint)] if len(hint) < most else message
    line = json.dumps([message, hint[-most + len(message) :]], ensure_ascii=False)
    os.write(report, line.encode("utf-8", "surrogatepass") + b"\n")


def _read_report(line: bytes) -> int:
    """The bytes that a worker tells of. Raises the error that it tells of."""
    report = json.loads(line.decode("utf-8", "surrogatepass"))
    if isinstance(report, int):
        return report
    message, hint = report
    if not message:
        raise RuntimeError(hint)
    raise HpcSubmitError(message, hint)
