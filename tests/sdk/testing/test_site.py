"""What happens to servers: they restart, are published anew, and refuse. All in memory, link by link."""

import random

import pytest

from spacetimedb_proto.errors import AuthenticationError, ConnectError, EncodeError
from spacetimedb_proto.events import NEED_DATA, Connected, Disconnected
from spacetimedb_sdk.testing import AutoInc, ConstraintError, Module, PrimaryKey, ReducerError, Unique, i32, u32, u64
from spacetimedb_sdk.testing.service import Service
from spacetimedb_sdk.testing.site import Site
from tests.sdk.testing.support import Visitor, connected, database, refused

ALL = "SELECT * FROM *"


def notes(*, start=("first",), log=None, **changes):
    """A version of the module `notes`; `changes` name the parts that are otherwise than in the first version."""
    module = Module("notes")

    @module.table(public=True)
    class Note:
        id: PrimaryKey[AutoInc[u64]]
        text: changes.get("text", str)

    if changes.get("has_visits", True):

        @module.table(public=True, name="visit")
        class Visit:
            number: PrimaryKey[AutoInc[u32]]

    @module.init
    def init(ctx):
        for text in start:
            ctx.db.note.insert(text=text)

    @module.reducer
    def add(ctx, text: str):
        ctx.db.note.insert(text=text)

    if changes.get("has_goodbye", True):

        @module.client_disconnected
        def goodbye(ctx):
            if log is not None:
                log.append(ctx.connection_id)
            if changes.get("has_visits", True):
                ctx.db.visit.insert()

    return module


def site_of(module, **options):
    return Site(database(module), random_bytes=random.Random(1).randbytes, **options)


@pytest.fixture
def log():
    return []


@pytest.fixture
def site(log):
    return site_of(notes(log=log))


def texts(visitor):
    return [note.text for note in visitor.rows("SELECT * FROM note").get("note", [])]


def arrive(site, **options):
    return connected(site, name="notes", **options)


def the_end(visitor):
    (end,) = visitor.events()
    assert isinstance(end, Disconnected)
    return end


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_ends_all_links_and_keeps_all_data(site, log, crash):
    one, other = arrive(site), arrive(site)
    one.call("add", "second")
    site.restart(crash=crash)
    assert log == [one.seen[0].connection_id, other.seen[0].connection_id], "seen off in order, before it returns"
    for visitor in (one, other):
        end = the_end(visitor)
        assert (end.code, end.reason) == ((1006, "") if crash else (1001, "module exited"))
    assert site.links == {}
    back = arrive(site, token=one.seen[0].token)
    assert back.seen[0].identity == one.seen[0].identity
    assert texts(back) == ["first", "second"]
    assert len(log) == 2, "nobody is seen off twice"


def test_what_clients_send_after_a_restart_is_ignored(site):
    visitor = arrive(site)
    visitor.session.call_reducer("add", ["too late"])
    site.restart()
    visitor.events()
    assert texts(arrive(site)) == ["first"]


def test_others_do_not_learn_of_the_end(site):
    one, other = arrive(site), arrive(site)
    one.rows(ALL)
    other.rows(ALL)
    site.restart()
    assert isinstance(the_end(one), Disconnected)
    assert isinstance(the_end(other), Disconnected)


def test_a_restart_frees_sessions(site):
    holder = arrive(site, session_id="5" * 32)
    site.restart()
    assert arrive(site, session_id="5" * 32, token=holder.seen[0].token)
    holder.events()
    assert the_end(Visitor(site, "notes", session_id="5" * 32, token=holder.seen[0].token)).code == 4000


def test_a_restart_without_rows(site):
    visitor = arrive(site)
    visitor.call("add", "second")
    site.restart(keep_rows=False)
    back = arrive(site, token=visitor.seen[0].token)
    assert back.seen[0].identity == visitor.seen[0].identity
    assert texts(back) == ["first"]
    assert back.rows("SELECT * FROM visit").keys() == {"note"}, "what clients that have left do is not the new data's"
    back.call("add", "third")
    assert [note.id for note in back.session.cache.table("note")] == [1, 2]


def test_a_restart_without_tokens(site):
    visitor = arrive(site)
    site.restart(keep_tokens=False)
    error = refused(site, name="notes", token=visitor.seen[0].token)
    assert isinstance(error, AuthenticationError)
    assert texts(arrive(site)) == ["first"]


def test_other_data(site):
    site.restart(keep_rows=False)
    site.database.run(lambda ctx: ctx.db.note.insert(text="prepared"))
    assert texts(arrive(site)) == ["first", "prepared"]


def test_a_restart_before_a_request_is_looked_at(site):
    visitor = Visitor(site, "notes")
    visitor.link.move()
    site.restart()
    assert the_end(visitor).code == 1006


def test_a_client_that_leaves_before_its_request_is_looked_at(site):
    visitor = Visitor(site, "notes")
    visitor.link.move()
    visitor.service.receive_eof()
    visitor.link.server_events()
    assert visitor.service.next_event() is NEED_DATA
    assert site.links == {}


def test_init_that_fails_leaves_everything_as_it_was():
    start = ["first"]
    site = site_of(notes(start=start))
    visitor = arrive(site)
    start.append(7)
    with pytest.raises(EncodeError):
        site.restart(keep_rows=False)
    assert texts(visitor) == ["first"]


# --- the server by itself ---------------------------------------------------------------------------------------------


def test_what_the_server_does_by_itself_reaches_subscribers(site):
    visitor = arrive(site)
    visitor.rows(ALL)
    assert site.database.run(lambda ctx: ctx.db.note.insert(text="news")).text == "news"
    (update,) = visitor.events()
    assert [change.row.text for change in update.changes["note"]] == ["news"]

    def fails(ctx):
        ctx.db.note.insert(text="undone")
        raise ReducerError("no")

    with pytest.raises(ReducerError, match="no"):
        site.database.run(fails)
    assert visitor.events() == []
    assert texts(arrive(site)) == ["first", "news"]


# --- new versions of the module ---------------------------------------------------------------------------------------


def test_a_new_version_keeps_the_rows(site, log):
    visitor = arrive(site)
    visitor.call("add", "second")
    newer = notes(start=("never",), log=log)

    @newer.table(public=True)
    class Extra:
        n: i32

    site.republish(newer)
    end = the_end(visitor)
    assert (end.code, end.reason) == (1001, "module exited")
    assert log == [visitor.seen[0].connection_id]
    back = arrive(site, token=visitor.seen[0].token)
    assert "extra" in back.tables
    assert back.seen[0].identity == visitor.seen[0].identity
    assert texts(back) == ["first", "second"]
    assert len(back.rows("SELECT * FROM visit")["visit"]) == 1, "with what seeing off the clients did"
    back.call("add", "third")
    assert [note.id for note in back.session.cache.table("note")] == [1, 2, 3], "counters go on"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"text": i32}, "table `note` has rows, and has other columns in the new module"),
        ({"has_visits": False}, "table `visit` has rows, but is not in the new module"),
    ],
)
def test_a_version_that_does_not_fit_is_refused(site, changes, text):
    arrive(site)
    site.restart()
    visitor = arrive(site)
    with pytest.raises(ValueError, match=text):
        site.republish(notes(**changes))
    assert texts(visitor) == ["first"], "nobody was disturbed"


def test_a_constraint_that_rows_do_not_meet(site):
    visitor = arrive(site)
    visitor.call("add", "first")
    with pytest.raises(ConstraintError, match="duplicate unique column `text`"):
        site.republish(notes(text=Unique[str]))
    assert texts(visitor) == ["first", "first"]


def test_a_version_of_another_schema_without_rows(site):
    visitor = arrive(site)
    site.republish(notes(start=(1, 2), text=i32), keep_rows=False)
    assert the_end(visitor).code == 1001
    assert texts(arrive(site)) == [1, 2]


def test_another_database_is_no_version_of_this_one(site):
    visitor = arrive(site)
    with pytest.raises(ValueError, match="module: expected another version of `notes`, got `other`"):
        site.republish(Module("other"))
    assert texts(visitor) == ["first"]


def test_seeing_clients_off_makes_no_version_unfit(site, log):
    visitor = arrive(site)
    newer = notes(has_visits=False)
    site.republish(newer)  # while it has clients, the older version has no visit yet, but would have one after that
    assert the_end(visitor).code == 1001
    assert site.database.module is newer
    assert texts(arrive(site)) == ["first"]
    assert log == [], "the version that goes on sees clients off"


def test_seeing_off_a_client_fails_by_itself(site, caplog):
    one, other = arrive(site), arrive(site)
    newer = notes(text=Unique[str], has_goodbye=False)

    @newer.client_disconnected
    def goodbye(ctx):
        ctx.db.note.insert(text="gone")

    site.republish(newer)
    assert [the_end(visitor).code for visitor in (one, other)] == [1001, 1001]
    assert texts(arrive(site)) == ["first", "gone"]
    assert "notes: client_disconnected failed" in caplog.text


@pytest.mark.parametrize(("given", "kind"), [(5, "int"), ("notes", "str"), (None, "NoneType"), (Module, "type")])
def test_only_modules_are_versions(site, given, kind):
    visitor = arrive(site)
    text = rf"^module: expected a Module of spacetimedb_sdk\.testing, got .* \({kind}\)$"
    with pytest.raises(TypeError, match=text):
        site.republish(given)
    assert texts(visitor) == ["first"]


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_the_next_handshakes_are_refused(site):
    before = arrive(site)
    site.refuse_next(2, 502, "bad gateway")
    site.refuse_next()
    found = [refused(site, name="notes") for _ in range(3)]
    assert all(type(error) is ConnectError for error in found)
    assert [(error.status, error.body) for error in found] == [(502, "bad gateway"), (502, "bad gateway"), (503, "")]
    assert isinstance(arrive(site).seen[0], Connected)
    assert before.events() == []


def test_a_refused_link_is_forgotten(site):
    site.refuse_next()
    refused(site, name="notes")
    assert site.links == {}
    Service(site)
    assert len(site.links) == 1
