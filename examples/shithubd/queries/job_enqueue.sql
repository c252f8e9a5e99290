-- Asking again for a job that still waits raises its revision, so that a worker
-- that is busy with the older one does not take the new request for done.
INSERT INTO jobs (kind, subject, not_before, created_at)
VALUES ($1, $2, $3, $3)
ON CONFLICT (kind, subject) DO UPDATE SET revision = jobs.revision + 1
