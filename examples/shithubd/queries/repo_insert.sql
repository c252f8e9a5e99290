INSERT INTO repos (owner_id, name, description, created_at)
VALUES ($1, $2, $3, $4)
RETURNING id
