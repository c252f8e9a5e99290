-- Back into the queue, due at $2.
UPDATE jobs
SET not_before = $2
WHERE id = $1
