SELECT id, name, full_name, created_at
FROM users
WHERE name = $1
