DELETE FROM issue_terms
WHERE issue_id = $1
