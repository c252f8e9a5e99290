SELECT i.id, i.number, u.name, i.title, i.body, i.state, i.created_at, i.updated_at
FROM issues i
JOIN users u ON u.id = i.author_id
WHERE i.repo_id = $1
ORDER BY i.number DESC
LIMIT $2
