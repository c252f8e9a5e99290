INSERT INTO users (name, full_name, created_at)
VALUES ($1, $2, $3)
RETURNING id
