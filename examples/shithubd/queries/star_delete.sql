DELETE FROM stars
WHERE user_id = $1 AND repo_id = $2
