DELETE FROM repos
WHERE id = $1
