-- The outer not_before makes the loser of a race between two workers match no row.
UPDATE jobs
SET not_before = $2, attempts = attempts + 1
WHERE id = (SELECT id FROM jobs WHERE not_before <= $1 ORDER BY not_before, id LIMIT 1)
  AND not_before <= $1
RETURNING id, kind, subject, revision, attempts
