INSERT INTO tokens (user_id, hash, label, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5)
RETURNING id
