"""What the store holds, and what may go from it: never what a job or a kept set needs."""

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.staging.cleaning import OldData, old_generations, remove
from hpcsubmit.staging.progress import progress_text
from hpcsubmit.staging.sets import State, packed_sets
from hpcsubmit.staging.snapshot import Snapshot
from hpcsubmit.staging.store import read_manifest
from staged_data import Data, tree

HOURS_AGO = time.time() - 7200


@pytest.fixture
def data(tmp_path: Path) -> Data:
    data = Data(tmp_path / "scratch")
    for name in ("a/one", "a/two", "b/three", "single"):
        data.write(name, name.encode() * 100)
    return data


def states(data: Data) -> dict[str, State]:
    return {each.text: each.state for each in packed_sets(data.scratch)}


def listed(data: Data, *needed: Snapshot, everything: bool = False) -> dict[str, tuple[int, str]]:
    """What would go: by its name the bytes and the reason. Listing changes nothing."""
    before = tree(data.store.folder)
    old = old_generations(data.scratch, needed=[each.manifest for each in needed], everything=everything)
    assert tree(data.store.folder) == before
    return {each.text: (each.size, each.why) for each in old}


def clean(
    data: Data,
    *needed: Snapshot,
    everything: bool = False,
    later: Callable[[], Collection[Path]] | None = None,
) -> list[str]:
    """Remove what is listed; return what is gone. later: what is needed when it is asked once more."""
    manifests = [each.manifest for each in needed]
    old = old_generations(data.scratch, needed=manifests, everything=everything)
    gone = remove(old, data.scratch, later or (lambda: manifests))
    assert list(data.store.folder.glob("removing-*")) == []
    return [each.text for each in gone]


def test_sets_are_listed_with_what_they_are(data: Data) -> None:
    snapshot = data.staged("a", "single")
    (only,) = packed_sets(data.scratch)
    manifest = read_manifest(snapshot.manifest)
    assert manifest is not None
    assert only.description is not None
    assert (only.text, only.state, only.manifest) == ("a, single", State.FRESH, snapshot.manifest)
    assert (only.description.files, only.description.bytes) == (3, 500 + 500 + 600)
    assert only.description.host == os.uname().nodename
    assert abs(only.description.created.timestamp() - time.time()) < 60
    assert only.size == sum(data.store.size(name) for name in only.archives)
    assert set(only.archives) == data.archives().keys()


def test_an_empty_store_lists_nothing(data: Data) -> None:
    assert packed_sets(data.scratch) == []
    assert listed(data, everything=True) == {}
    assert clean(data, everything=True) == []
    assert not data.store.folder.exists()


def test_every_state_is_told(data: Data) -> None:
    for name in ("a", "b", "single", "a/one", "b/three"):
        data.staged(name)
    data.write("a/two", b"other")
    (data.scratch / "single").unlink()
    set_of_one = next(each for each in packed_sets(data.scratch) if each.text == "a/one")
    (data.store.archives / set_of_one.archives[0]).unlink()
    assert states(data) == {
        "a": State.STALE,
        "b": State.FRESH,
        "single": State.GONE,
        "a/one": State.DAMAGED,
        "b/three": State.FRESH,
    }
    assert {name: why for name, (_, why) in listed(data).items()} == {
        "a": "the data have changed",
        "single": "the data are gone",
        "a/one": "damaged",
    }


def test_the_newest_set_is_first(data: Data) -> None:
    for name in ("b", "a", "single"):
        data.staged(name)
    assert [each.text for each in packed_sets(data.scratch)] == ["single", "a", "b"]


def test_a_set_without_its_description_is_damaged(data: Data) -> None:
    snapshot = data.staged("a")
    snapshot.manifest.with_suffix(".json").write_text('{"paths": 1}')
    assert states(data) == {snapshot.manifest.stem: State.DAMAGED}
    assert not data.look("a").fresh


def test_only_what_is_old_goes_and_the_rest_stays_fresh(data: Data) -> None:
    data.staged("a")
    data.staged("b")
    data.write("a/one", b"new")
    data.staged("a")
    before = data.archives()
    size, why = listed(data)["a"]
    assert clean(data) == ["a"]
    gone = before.keys() - data.archives().keys()
    assert (len(gone), why) == (1, "the data have changed")
    assert size > 0
    assert (data.look("a").fresh, data.look("b").fresh) == (True, True)
    assert listed(data) == {}


def test_a_set_that_a_job_needs_stays(data: Data) -> None:
    old = data.staged("a")
    data.write("a/one", b"new")
    data.staged("a")
    before = data.archives()
    assert listed(data, old) == {}
    assert clean(data, old) == []
    assert data.archives() == before
    assert clean(data, old, everything=True) == ["a"], "the new one goes, since it was asked for"
    assert read_manifest(old.manifest) is not None
    data.unpack(old, data.scratch.parent)
    assert data.archives().items() < before.items()
    assert clean(data) == ["a"]
    assert list(data.archives()) == []


def test_everything_takes_fresh_sets_too(data: Data) -> None:
    data.staged("a")
    data.staged("b")
    assert {why for _, why in listed(data, everything=True).values()} == {"packed, and as the data are"}
    assert sorted(clean(data, everything=True)) == ["a", "b"]
    assert (list(data.archives()), list(data.store.sets.iterdir())) == ([], [])
    assert not data.look("a").fresh


def test_what_two_sets_share_is_counted_once_and_goes_with_the_last(data: Data) -> None:
    first = data.staged("a")
    data.staged("a", compress="auto", compressors=[])
    assert len(data.archives()) == 2, "one archive of files and one of folders, for both"
    total = sum(map(data.store.size, data.archives()))
    sets = old_generations(data.scratch, needed=[], everything=True)
    assert sorted(each.size for each in sets) == [0, total]
    assert clean(data, first, everything=True) == ["a"]
    assert len(data.archives()) == 2
    assert data.look("a").fresh


def test_what_is_needed_by_the_time_of_removal_is_moved_back(data: Data) -> None:
    one, two = data.staged("a"), data.staged("b")
    before = data.archives()
    assert clean(data, everything=True, later=lambda: [one.manifest]) == ["b"]
    assert read_manifest(two.manifest) is None
    assert data.look("a").fresh
    assert data.archives().items() < before.items()
    data.unpack(one, data.scratch.parent)


def test_where_nobody_can_tell_what_is_needed_all_stays(data: Data) -> None:
    data.staged("a")
    data.staged("b")

    def ask() -> Collection[Path]:
        raise HpcSubmitError("squeue gave no answer")

    with pytest.raises(HpcSubmitError, match="squeue gave no answer"):
        clean(data, everything=True, later=ask)
    assert list(data.store.folder.glob("removing-*")) == []
    assert (data.look("a").fresh, data.look("b").fresh) == (True, True)


def test_a_submission_in_between_finds_its_set_or_packs_it_again(data: Data) -> None:
    """The set is moved aside when the submission comes: it packs anew, and nothing of that is lost."""
    snapshot = data.staged("a")

    def submit() -> Collection[Path]:
        other = Data(data.scratch)
        seen = other.look("a")
        assert not seen.fresh
        for path in (*data.store.folder.glob("removing-*/*"),):
            target = data.store.sets if path.suffix in (".json", ".manifest") else data.store.archives
            (target / path.name).write_bytes(path.read_bytes())  # as packing would leave it
        return []

    assert clean(data, everything=True, later=submit) == []
    assert data.look("a").fresh
    data.unpack(snapshot, data.scratch.parent)


def age(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (HOURS_AGO, HOURS_AGO))


def test_what_was_cut_short_goes_after_an_hour(data: Data) -> None:
    data.staged("a")
    unfinished = data.store.unfinished / "0123.node.17"
    orphan = data.store.archives / "0123456789abcdef01234567.tar"
    half = data.store.sets / "0123456789abcdef01234567.manifest"
    for path in (unfinished, orphan, half):
        path.write_bytes(b"x" * 1000)
    assert listed(data) == {}
    age(orphan, half)
    assert listed(data) == {}, "the unfinished file is new: somebody may be at work"
    age(unfinished)
    assert listed(data) == {
        unfinished.name: (1000, "cut short"),
        orphan.name: (1000, "no set names it"),
        half.name: (1000, "cut short"),
    }
    assert len(clean(data)) == 3
    assert not any(path.exists() for path in (unfinished, orphan, half))
    assert data.look("a").fresh


def test_what_an_interrupted_cleaning_left_is_given_back_or_goes(data: Data) -> None:
    needed, other = data.staged("a"), data.staged("b")
    aside = data.store.folder / "removing-node.17"
    aside.mkdir()
    for path in (*data.store.sets.iterdir(), *data.store.archives.iterdir()):
        path.rename(aside / path.name)
    assert listed(data, needed) == {}
    age(aside, *aside.iterdir())
    assert listed(data, needed).keys() == {aside.name}
    assert clean(data, needed) == [aside.name]
    assert data.look("a").fresh
    assert not data.look("b").fresh
    assert read_manifest(other.manifest) is None


def test_what_cannot_be_removed_is_an_error(data: Data) -> None:
    data.staged("a")
    (old,) = old_generations(data.scratch, needed=[], everything=True)
    wrong = OldData(old.text, (*old.paths, Path("/proc/version")), 0, "")
    with pytest.raises(HpcSubmitError) as caught:
        remove([wrong], data.scratch, list)
    assert caught.value.message.startswith("/proc/version cannot be removed: ")
    assert caught.value.hint == f"check the permissions in {data.store.folder}, then clean again"
    assert data.look("a").fresh


@pytest.mark.parametrize(
    ("done", "total", "seconds", "text"),
    [
        (0, 10**9, 0.0, "[........................] 0 B of 1.0 GB"),
        (250 * 10**6, 10**9, 0.5, "[######..................] 250 MB of 1.0 GB, 500 MB/s, 2 s left"),
        (10**9, 10**9, 4.0, "[########################] 1.0 GB of 1.0 GB, 250 MB/s, 0 s left"),
        (10**9, 101 * 10**9, 1.0, "[........................] 1.0 GB of 101 GB, 1.0 GB/s, 1 min 40 s left"),
        (10**9, 10**13, 2.0, "[........................] 1.0 GB of 10 TB, 500 MB/s, 5 h 33 min left"),
        (0, 0, 0.0, "[########################] 0 B of 0 B"),
    ],
)
def test_progress_has_bytes_rate_and_time_left(done: int, total: int, seconds: float, text: str) -> None:
    assert progress_text(done, total, seconds) == text
