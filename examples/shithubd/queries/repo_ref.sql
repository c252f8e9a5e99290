-- Just enough of a repository to write to it.
SELECT r.id, r.owner_id
FROM repos r
JOIN users u ON u.id = r.owner_id
WHERE u.name = $1 AND r.name = $2
