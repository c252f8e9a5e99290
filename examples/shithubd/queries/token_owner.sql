-- The owner of a token that is still valid; $2 is the present time.
SELECT u.id, u.name, u.full_name, u.created_at
FROM tokens t
JOIN users u ON u.id = t.user_id
WHERE t.hash = $1 AND t.expires_at > $2
