"""The tables of the channel: accounts, quota, experiments, listings; more of releases, comments."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make them."""
    op.add_column("releases", sa.Column("worker_id", sa.String(64), nullable=True))
    op.add_column("releases", sa.Column("error", sa.String(), nullable=True))
    op.add_column("comments", sa.Column("confidence", sa.Double(), nullable=True))
    op.add_column("comments", sa.Column("likes", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("comments", sa.Column("reply", sa.String(), nullable=True))
    op.add_column("comments", sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("comments", sa.Column("handled_by", sa.String(), nullable=True))

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
    for column in ("confidence", "likes", "reply", "handled_at", "handled_by"):
        op.drop_column("comments", column)
    for column in ("worker_id", "error"):
        op.drop_column("releases", column)
