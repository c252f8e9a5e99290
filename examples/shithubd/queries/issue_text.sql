SELECT title, body
FROM issues
WHERE id = $1
