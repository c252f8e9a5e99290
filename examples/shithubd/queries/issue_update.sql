UPDATE issues
SET title = $3, body = $4, state = $5, updated_at = $6
WHERE repo_id = $1 AND number = $2
