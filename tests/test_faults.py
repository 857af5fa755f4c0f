"""Everything that writes, on disks that fail: the old file whole or the new one, and one line."""

import contextlib
import errno
import gc
import os
import stat
import tracemalloc

import faults
import numpy as np
import pytest
import runs

from minivae.errors import WriteError
from minivae.runs import checkpoint
from minivae.storage import files, sealed
from minivae.storage.files import replacing

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT, errno.ENOENT]


def write(path, content):
    with replacing(path) as file:
        file.write(content)


@pytest.mark.parametrize("there", [True, False])
def test_every_call_failing_in_turn(tmp_path, there):
    """For each call and each error: WriteError or success; old or new, never a mixture."""
    old, new = b"old" * 100, os.urandom(50_000)
    tried, nth, failed = 0, 0, set()
    while nth is not None:
        for number in ERRORS:
            path = tmp_path / f"{nth}-{number}" / "in" / "file"
            if there:
                write(path, old)
            with faults.faults(nth, OSError(number, os.strerror(number))) as found:
                try:
                    write(path, new)
                    done = True
                except WriteError as error:
                    done = None
                    assert str(error).startswith(f"{path} cannot be written: ")
                    assert number == errno.ENOENT or os.strerror(number) in str(error)
            content = path.read_bytes() if path.exists() else None
            # An error after the renaming, while the folder is flushed, is told of a new file.
            allowed = [new] if done else [old if there else None]
            if found.failed in ("open", "fsync", "close") and not done:
                allowed.append(new)
            assert content in allowed, (found.failed, number)
            left = [p for p in path.parent.glob(".*.part")] if path.parent.exists() else []
            assert not left or found.failed == "unlink"
            if found.failed is None:
                nth = None
                break
            failed.add(found.failed)
            tried += 1
        nth = None if nth is None else nth + 1
    expected = {"creat", "write", "fsync", "replace", "lstat", "open", "close"}
    assert failed >= expected | ({"chmod"} if there else {"mkdir"})
    assert tried > 50


def test_an_interruption_at_every_call(tmp_path):
    path, nth = tmp_path / "file", 0
    write(path, b"old")
    while True:
        with (
            contextlib.suppress(KeyboardInterrupt),
            faults.faults(nth, KeyboardInterrupt()) as found,
        ):
            write(path, b"new")
        assert path.read_bytes() in (b"old", b"new")
        assert os.listdir(tmp_path) == ["file"]
        if found.failed is None:
            break
        nth += 1
    assert nth > 5 and path.read_bytes() == b"new"


def test_short_writes(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:7]))
    content = os.urandom(10_000)
    write(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == content


def test_a_folder_that_vanishes(tmp_path):
    path = tmp_path / "folder" / "file"
    with pytest.raises(WriteError, match="No such file"), replacing(path) as file:
        file.write(b"x")
        for each in path.parent.iterdir():
            each.unlink()
        path.parent.rmdir()
    assert not path.parent.exists()


@pytest.mark.parametrize("number", sorted(files.NO_FLUSH))
def test_a_folder_that_cannot_be_flushed_is_no_failure(tmp_path, monkeypatch, number):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_new_folders_are_flushed_too(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "_flush", flushed.append)
    write(tmp_path / "a" / "b" / "file", b"x")
    assert set(flushed) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


# --- what is in the place of the file ------------------------------------------------------------


def test_permissions_are_kept(tmp_path):
    path = tmp_path / "file"
    write(path, b"old")
    new = stat.S_IMODE(path.stat().st_mode)
    umask = os.umask(0)
    os.umask(umask)
    assert new == 0o666 & ~umask
    path.chmod(0o600)
    write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_neither_followed_nor_replaced(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    for target in ("precious", "nowhere"):
        link = tmp_path / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(WriteError, match="is a link, which is not replaced by a file: name"):
            write(link, b"new")
        assert link.is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["link", "precious"]


def test_a_pipe_a_folder_and_a_device_stay(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path / "folder", "a folder"),
                       ("/dev/null", "a device")):  # fmt: skip
        with pytest.raises(WriteError, match=f"is {kind}, which is not replaced"):
            write(path, b"new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize("name", ["", ".", "/", "a\0b"])
def test_names_that_are_none(name):
    with pytest.raises(WriteError, match="is no name of a file"):
        write(name, b"x")


def test_a_name_as_long_as_they_get(tmp_path):
    write(tmp_path / ("é" * 127), b"x")
    assert os.listdir(tmp_path) == ["é" * 127]


# --- memory --------------------------------------------------------------------------------------


def test_a_save_takes_no_memory_of_the_model_s_size(tmp_path):
    t = runs.training(runs.dataset(), hidden=(2000, 1000))
    size = 3 * t.vae.theta.nbytes  # parameters and two moments, in memory that is not traced
    assert size > 45 << 20
    tracemalloc.start()
    checkpoint.save(tmp_path / "file", t.vae, t)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "file").stat().st_size > size
    assert peak < size / 2  # NumPy writes by 16 MiB


def test_a_full_disk_is_told_once(tmp_path, monkeypatch, capfd):
    """The clean-up of zipfile would meet the error again, and print it."""

    def refuse(handle, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(WriteError, match="No space left on device"):
        sealed.write(tmp_path / "file", {}, {"a": np.ones(100_000)})
    monkeypatch.undo()
    gc.collect()
    assert capfd.readouterr().err == "" and os.listdir(tmp_path) == []
