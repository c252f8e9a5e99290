SELECT o.name, r.name, i.number, i.title, i.state
FROM issue_terms t
JOIN issues i ON i.id = t.issue_id
JOIN repos r ON r.id = i.repo_id
JOIN users o ON o.id = r.owner_id
WHERE t.term = $1
ORDER BY i.id DESC
LIMIT $2
