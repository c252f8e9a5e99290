UPDATE repos
SET star_count = (SELECT COUNT(*) FROM stars WHERE repo_id = $1)
WHERE id = $1
