"""Who may do what: secrets are shown once and kept as hashes, and the first one locks the door."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from lofi.brief import InputError, LofiError
from lofi.studio import ConflictError, Database, NotFoundError, Settings, access
from lofi.studio._settings import Server
from lofi.studio._tables import Event, Preference, Token, now


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'studio.db'}")
    made.migrate()
    yield made
    made.close()


def make(database: Database, name: str = "ci", *scopes: str, **more) -> str:
    with database.write() as session:
        return access.create_token(session, name, scopes or ("read",), **more)


def is_locked(database: Database) -> bool:
    with database.read() as session:
        return access.is_locked(session)


def test_a_secret_opens_and_is_kept_nowhere(database):
    secret = make(database, "ci", "write")
    who = access.authenticate(database, secret)
    assert who is not None
    assert who.name == "token:ci"
    assert secret.startswith("lofi_")
    with database.read() as session:
        kept = str([list(r) for r in session.execute(sa.select(Token.__table__))])
        kept += str(session.scalars(sa.select(Event.detail)).all())
        assert secret not in kept
        assert secret not in str(access.tokens(session))


def test_two_secrets_are_never_the_same(database):
    assert len({make(database, f"t{i}") for i in range(20)}) == 20


@pytest.mark.parametrize("wrong", ["", "lofi_", "lofi_x", "é" * 500, "\x00"])
def test_other_secrets_open_nothing(database, wrong):
    make(database)
    assert access.authenticate(database, wrong) is None


def test_a_scope_holds_those_before_it():
    who = access.Principal("token:x", ("write",))
    assert [who.may(scope) for scope in access.SCOPES] == [True, True, False, False]
    assert all(access.LOCAL.may(scope) for scope in access.SCOPES)


def test_a_revoked_token_opens_nothing_and_its_name_is_free_again(database):
    secret = make(database)
    with database.write() as session:
        token_id = access.describe_token(session, secret)["id"]
        access.revoke_token(session, token_id, actor="local")
        access.revoke_token(session, token_id, actor="local")
    assert access.authenticate(database, secret) is None
    with database.read() as session:
        verbs = session.scalars(sa.select(Event.verb).order_by(Event.id)).all()
    assert verbs == ["created", "revoked"]
    make(database)


def test_a_token_that_is_not_there_cannot_be_revoked(database):
    with pytest.raises(NotFoundError, match="no token 99"), database.write() as session:
        access.revoke_token(session, 99, actor="local")


def test_an_expired_token_opens_nothing_and_still_locks(database):
    secret = make(database, expires_at=now() + timedelta(hours=1))
    assert access.authenticate(database, secret) is not None
    with database.write() as session:
        session.execute(sa.update(Token).values(expires_at=now() - timedelta(seconds=1)))
    assert access.authenticate(database, secret) is None
    assert is_locked(database)


@pytest.mark.parametrize(
    ("name", "scopes", "error"),
    [
        ("", ["read"], InputError),
        ("-x", ["read"], InputError),
        ("a\nb", ["read"], InputError),
        ("x" * 65, ["read"], InputError),
        ("x", [], InputError),
        ("x", ["root"], InputError),
        ("taken", ["read"], ConflictError),
    ],
)
def test_what_cannot_be_a_token_is_refused(database, name, scopes, error):
    make(database, "taken")
    with pytest.raises(error), database.write() as session:
        access.create_token(session, name, scopes)


def test_a_token_of_the_past_is_refused(database):
    with pytest.raises(InputError, match="expired already"):
        make(database, expires_at=now() - timedelta(seconds=1))


def test_the_first_token_or_a_password_locks(database):
    assert not is_locked(database)
    secret = make(database)
    assert is_locked(database)
    with database.write() as session:
        access.revoke_token(session, access.describe_token(session, secret)["id"], actor="me")
    assert not is_locked(database)
    with database.write() as session:
        session.add(Preference(name=access.PASSWORD, value={"hash": "x"}, updated_by="me"))
    assert is_locked(database)


def test_use_is_noted_once_a_minute(database):
    secret = make(database)

    def used_at():
        with database.read() as session:
            return access.describe_token(session, secret)["used_at"]

    def use():
        who = access.authenticate(database, secret)
        assert who
        access.note(database, who)

    assert used_at() is None
    use()
    first = used_at()
    use()
    assert used_at() == first is not None
    with database.write() as session:
        session.execute(sa.update(Token).values(used_at=first - timedelta(minutes=2)))
    use()
    assert used_at() >= first


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("localhost.evil.example", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(host, near):
    assert access.is_loopback(host) is near


def test_other_machines_are_served_only_where_a_token_is_needed(database):
    settings = Settings()
    open_to_all = settings.model_copy(update={"server": replace(Server(), host="0.0.0.0")})
    with database.read() as session:
        access.require_safe_binding(settings, session)
        with pytest.raises(LofiError, match="lofi token create"):
            access.require_safe_binding(open_to_all, session)
    make(database, "door", "admin")
    with database.read() as session:
        access.require_safe_binding(open_to_all, session)
