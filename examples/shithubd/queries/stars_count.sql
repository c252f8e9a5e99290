SELECT COUNT(*)
FROM stars
WHERE repo_id = $1
