INSERT INTO issues (repo_id, number, author_id, title, body, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
RETURNING id
