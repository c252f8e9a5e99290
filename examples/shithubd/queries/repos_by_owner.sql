SELECT r.id, u.name, u.full_name, r.name, r.description, r.star_count, r.created_at
FROM repos r
JOIN users u ON u.id = r.owner_id
WHERE u.name = $1
ORDER BY r.id DESC
LIMIT $2
