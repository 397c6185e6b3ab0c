"""With many tracks, those of a mood are found in an index, and so is what was finished last."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add both. What was finished last tells how long the rest will take."""
    of_mood = ["deleted_at", "mood", "created_at", "id", "state", "key", "palette", "verdict",
               "bpm", "duration_s"]  # fmt: skip
    op.create_index("ix_tracks_of_mood", "tracks", of_mood, unique=False)
    op.create_index("ix_job_stages_finished", "job_stages", ["state", "finished_at"], unique=False)


def downgrade() -> None:
    """As it was."""
    op.drop_index("ix_job_stages_finished", "job_stages")
    op.drop_index("ix_tracks_of_mood", "tracks")
