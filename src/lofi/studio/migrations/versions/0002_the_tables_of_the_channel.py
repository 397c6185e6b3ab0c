"""The tables of the channel: accounts, quota, experiments, listings; more of releases, comments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.add_column("releases", sa.Column("worker_id", sa.String(64), nullable=True))
    op.add_column("releases", sa.Column("error", sa.String(), nullable=True))
    _upgrade_comments()

    op.create_table(
        "credentials",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.Column("connected_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("platform", name="pk_credentials"),
    )
    op.create_table(
        "quota",
        sa.Column("platform", sa.String(), nullable=False),
        sa.Column("bucket", sa.String(), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "bucket", "day", name="pk_quota"),
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("arms", sa.JSON(), nullable=False),
        sa.Column("turns", sa.JSON(), nullable=False),
        sa.Column("winner", sa.String(), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_id"], ["releases.id"], name="fk_experiments_release_id_releases"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
    )
    op.create_index("ix_experiments_release_id", "experiments", ["release_id"], unique=False)
    op.create_index("ix_experiments_state", "experiments", ["state"], unique=False)
    op.create_table(
        "listings",
        sa.Column("track_id", sa.String(), nullable=False),
        sa.Column("commission_sha256", sa.String(64), nullable=False),
        sa.Column("take", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("opening", sa.String(), nullable=False),
        sa.Column("drawn", sa.JSON(), nullable=True),
        sa.Column("edited", sa.JSON(), nullable=True),
        sa.Column("edited_sha256", sa.String(64), nullable=True),
        sa.Column("edited_by", sa.String(), nullable=True),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("track_id", name="pk_listings"),
    )
    op.create_index(
        "ix_listings_commission_sha256", "listings", ["commission_sha256"], unique=False
    )
    op.create_index("ix_listings_created_at", "listings", ["created_at"], unique=False)


def downgrade() -> None:
    """Remove them, with all that is in them."""
    op.drop_table("listings")
    op.drop_table("experiments")
    op.drop_table("quota")
    op.drop_table("credentials")
    _downgrade_comments()
    for column in ("worker_id", "error"):
        op.drop_column("releases", column)


def _of_comments() -> tuple[sa.Column, ...]:
    return (
        sa.Column("video_id", sa.String(), nullable=True),
        sa.Column("ours", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("likes", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("replies", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("can_reply", sa.Boolean(), nullable=False, server_default=sa.true()),
        sa.Column("reply", sa.String(), nullable=True),
        sa.Column("reply_state", sa.String(), nullable=True),
        sa.Column("reply_id", sa.String(), nullable=True),
        sa.Column("reply_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("handled_by", sa.String(), nullable=True),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default="1970-01-01 00:00:00",
        ),
    )


_INDEXES_OF_COMMENTS = {
    "ix_comments_listed": ["state", "published_at", "id"],
    "ix_comments_author": ["author_id", "published_at"],
    "ix_comments_video_id": ["video_id"],
    "ix_comments_parent_id": ["parent_id"],
    "ix_comments_reply_state": ["reply_state"],
}


def _upgrade_comments() -> None:
    op.drop_index("ix_comments_state", "comments")
    with op.batch_alter_table("comments") as comments:
        for column in _of_comments():
            comments.add_column(column)
        # A channel has videos that were not released from here, and they have comments.
        comments.alter_column("release_id", existing_type=sa.Integer(), nullable=True)
    for name, columns in _INDEXES_OF_COMMENTS.items():
        op.create_index(name, "comments", columns, unique=False)


def _downgrade_comments() -> None:
    for name in _INDEXES_OF_COMMENTS:
        op.drop_index(name, "comments")
    op.execute("DELETE FROM comments WHERE release_id IS NULL")
    with op.batch_alter_table("comments") as comments:
        comments.alter_column("release_id", existing_type=sa.Integer(), nullable=False)
        for column in _of_comments():
            comments.drop_column(column.name)
    op.create_index("ix_comments_state", "comments", ["state"], unique=False)
