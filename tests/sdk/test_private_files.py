"""Small files for their owner alone."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from spacetimedb_sdk.private_files import create_private, read_small

posix = pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")


@pytest.fixture
def lax_umask():
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def failing(code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail


@posix
def test_created_for_the_owner_alone(tmp_path, lax_umask):
    path = tmp_path / "a" / "b" / "secret"
    assert create_private(path, b"text")
    assert path.read_bytes() == b"text"
    assert [mode(path), mode(path.parent), mode(path.parent.parent)] == [0o600, 0o700, 0o700]
    assert os.listdir(path.parent) == ["secret"]


@posix
def test_directories_that_are_there_stay_as_they_are(tmp_path):
    tmp_path.chmod(0o755)
    assert create_private(tmp_path / "secret", b"text")
    assert mode(tmp_path) == 0o755


def test_an_existing_file_is_kept(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    assert not create_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["secret"]


@posix
def test_a_link_leads_to_the_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "there" / "secret")
    assert create_private(tmp_path / "link", b"text")
    assert (tmp_path / "there" / "secret").read_bytes() == b"text"
    assert (tmp_path / "link").is_symlink()
    assert read_small(tmp_path / "link", 4) == b"text"


def test_file_systems_without_hard_links(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    path = tmp_path / "secret"
    assert create_private(path, b"first")
    assert not create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["secret"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_failure_changes_nothing(tmp_path, monkeypatch, step, old):
    path = tmp_path / "secret"
    if old is not None:
        path.write_bytes(old)
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    monkeypatch.setattr(os, step, failing(errno.ENOSPC))
    if step == "replace" and old is not None:
        assert not create_private(path, b"new")
    else:
        with pytest.raises(OSError, match="No space left"):
            create_private(path, b"new")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ([] if old is None else ["secret"])
    assert read_small(path, 10) == old


def test_the_file_has_its_name_only_when_it_is_whole(tmp_path, monkeypatch):
    path = tmp_path / "secret"
    link, synced = os.link, []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))

    def look(source, target):
        assert not path.exists()
        assert synced == [4]
        link(source, target)

    monkeypatch.setattr(os, "link", look)
    assert create_private(path, b"text")
    assert path.read_bytes() == b"text"


def test_where_no_directory_can_be(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="Not a directory"):
        create_private(tmp_path / "file" / "secret", b"text")


def test_reading(tmp_path):
    path = tmp_path / "file"
    assert read_small(path, 4) is None
    path.write_bytes(b"text")
    assert read_small(path, 4) == b"text"
    with pytest.raises(OSError, match="expected at most 3 bytes, it has more"):
        read_small(path, 3)


@posix
def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is no regular file"):
        read_small(tmp_path / "pipe", 4)
    with pytest.raises(IsADirectoryError):
        read_small(tmp_path, 4)


@posix
@pytest.mark.parametrize(("before", "after"), [(0o644, 0o600), (0o777, 0o600), (0o440, 0o400), (0o640, 0o600)])
def test_rights_of_others_are_taken_away(tmp_path, caplog, before, after):
    path = tmp_path / "secret"
    path.write_bytes(b"text")
    path.chmod(before)
    assert read_small(path, 4, is_secret=b"text".__eq__) == b"text"
    assert mode(path) == after
    said = f"{path} had mode {before:04o}, so that others could use it; now it has {after:04o}"
    assert [record.getMessage() for record in caplog.records] == [said]
    assert read_small(path, 4, is_secret=b"text".__eq__) == b"text"
    assert len(caplog.records) == 1, "it is said once"


@posix
def test_rights_stay_unless_it_is_a_secret(tmp_path, caplog):
    path = tmp_path / "config"
    path.write_bytes(b"text")
    path.chmod(0o644)
    assert read_small(path, 4) == b"text"
    assert read_small(path, 4, is_secret=b"other".__eq__) == b"text"
    with pytest.raises(OSError, match="expected at most 3 bytes"):
        read_small(path, 3, is_secret=b"text".__eq__)
    assert (mode(path), caplog.records) == (0o644, [])


@posix
def test_rights_that_cannot_be_changed(tmp_path, caplog, monkeypatch):
    path = tmp_path / "secret"
    path.write_bytes(b"text")
    path.chmod(0o644)
    monkeypatch.setattr(os, "fchmod", failing(errno.EROFS))
    assert read_small(path, 4, is_secret=b"text".__eq__) == b"text"
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path} has mode 0644, so that others may use it; it cannot be changed: Read-only file system"
    )
