INSERT INTO stars (user_id, repo_id, created_at)
VALUES ($1, $2, $3)
ON CONFLICT (user_id, repo_id) DO NOTHING
