"""SQLite finds words in an index: before, it read every track for them."""

from alembic import op

revision = "0003"
down_revision = "0002"

_LISTED = ["deleted_at", "created_at", "id", "state", "mood", "key", "palette", "verdict", "bpm",
           "duration_s"]  # fmt: skip


def upgrade() -> None:
    """Add the text to the index that lists tracks. PostgreSQL has no room for it in one."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_tracks_listed", "tracks")
        op.create_index("ix_tracks_searched", "tracks", [*_LISTED, "search"], unique=False)


def downgrade() -> None:
    """As it was."""
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_tracks_searched", "tracks")
        op.create_index("ix_tracks_listed", "tracks", _LISTED, unique=False)
